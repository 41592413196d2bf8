// Behaviours 83 to 85: programs in which nothing can go on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "rt/rt.h"
#include "tests/conformance/conformance.h"
#include "tests/runtime/death_tests.h"

// An emulator of 64-bit ARM has threads of its own, and with threads that are not the runtime's nothing is reported.
#if !defined(__aarch64__)

namespace {

using namespace std::chrono_literals;
using namespace conformance;

// Longer than it takes to find a deadlock, with some reserve.
constexpr auto long_enough = 4s;

class conformance_deadlocks : public testing::TestWithParam<int> {
 protected:
  // Ends the process if the program is found to be asleep.
  void run(const std::function<void()>& body) { rt_test::in_runtime(GetParam(), body); }
};
INSTANTIATE_TEST_SUITE_P(procs, conformance_deadlocks, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

TEST_P(conformance_deadlocks, b083_all_asleep_is_reported_with_stacks_and_status_2) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run([] {
                rt::chan<int> never;
                rt::mutex mutex;
                mutex.lock();
                rt::go(named("locker"), [&] { mutex.lock(); });
                rt::go(named("selector"), [&] { rt::select(rt::on_recv(never, [](auto) {})); });
                never.recv();
              }),
              testing::ExitedWithCode(2),
              "all green threads are asleep - deadlock!(.|\n)*goroutine [0-9]+ (.|\n)*name: (locker|selector)");
}

TEST_P(conformance_deadlocks, b083_also_with_threads_that_are_locked) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run([] {
                rt::lock_os_thread();
                rt::chan<int> never;
                never.recv();
              }),
              testing::ExitedWithCode(2), "all green threads are asleep - deadlock!");
  EXPECT_EXIT(run([] {
                rt::chan<int> never;
                rt::go([&] {
                  rt::lock_os_thread();
                  never.recv();
                });
                rt::yield();
                never.recv();
              }),
              testing::ExitedWithCode(2), "all green threads are asleep - deadlock!");
}

TEST_P(conformance_deadlocks, b074_and_when_the_last_that_could_wake_has_ended) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run([] {
                rt::chan<int> never;
                rt::go([] { throw rt::cancelled(); });
                never.recv();
              }),
              testing::ExitedWithCode(2), "all green threads are asleep - deadlock!");
}

TEST_P(conformance_deadlocks, b084_not_while_a_timer_a_foreign_call_or_a_socket_may_wake) {
  run([] {
    rt::chan<int> later;
    rt::timer timer(long_enough, [&] { later.send(1); });
    later.recv();
    rt::ticker ticker(long_enough);
    ticker.channel().recv();
    rt::go([&] {
      rt::blocking([] { std::this_thread::sleep_for(long_enough); });
      later.send(1);
    });
    later.recv();
    rt::net::listener listener = rt::net::listen("tcp", "127.0.0.1:0");
    const std::string address = listener.address();
    std::thread foreign([&] {
      std::this_thread::sleep_for(long_enough);
      rt::go([address] { rt::net::dial("tcp", address); });  // which may not be over when all this is
    });
    listener.accept();
    rt::blocking([&] { foreign.join(); });
  });
}

// A destructor that yields and calls the system while an exception is on its way.
TEST_P(conformance_deadlocks, b084_not_around_calls_while_an_exception_unwinds) {
  run([] {
    struct lingers {
      ~lingers() {
        for (rt::time_point until = rt::now() + long_enough; rt::now() < until;) {
          rt::yield();
          rt::blocking([] { usleep(1000); });
        }
      }
    };
    rt::scope scope;
    scope.go([] {
      lingers one;
      throw rt::cancelled();
    });
    scope.wait();
  });
}

// There are no finalisers; what the runtime starts for a program is the green thread of a timer's function.
TEST_P(conformance_deadlocks, b085_a_function_of_a_timer_that_never_ends_is_shown) {
  rt_test::prepare_death_test();
  EXPECT_EXIT(run([] {
                rt::chan<int> never;
                rt::mutex mutex;
                mutex.lock();
                rt::timer timer(1ms, [&] { mutex.lock(); });
                never.recv();
              }),
              testing::ExitedWithCode(2), "all green threads are asleep - deadlock!(.|\n)*sync.Mutex.Lock");
}

}  // namespace

#endif
