// A whole program in which nothing can go on, as the numbers 83 and 84 of Go's behaviours have it.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "rt/rt.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/thread_census.h"

namespace {

using namespace std::chrono_literals;

// Longer than two looks, with some reserve.
constexpr auto long_enough = 4s;

class whole_program : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(procs, whole_program, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

TEST_P(whole_program, that_is_asleep_ends_with_its_stacks_and_status_2) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  rt_test::prepare_death_test();
  auto deadlock = [] {
    rt_test::in_runtime(GetParam(), [] {
      rt::chan<int> one;
      rt::chan<int> other;
      rt::go({.stack_size = 0, .name = "second"}, [&] {
        one.recv();
        other.send(1);
      });
      other.recv();
    });
  };
  EXPECT_EXIT(deadlock(), testing::ExitedWithCode(2),
              "fatal error: all green threads are asleep - deadlock!(.|\n)*goroutine [0-9]+ .chan receive(.|\n)*name: "
              "second");
}

TEST(whole_program, with_a_mutex_locked_twice_is_a_deadlock) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  rt_test::prepare_death_test();
  auto deadlock = [] {
    rt_test::in_runtime(2, [] {
      rt::mutex mutex;
      mutex.lock();
      mutex.lock();
    });
  };
  EXPECT_EXIT(deadlock(), testing::ExitedWithCode(2), "all green threads are asleep(.|\n)*sync.Mutex.Lock");
}

rt::coroutine<> relay(rt::chan<int> from, rt::chan<int> to, bool with_stack) {
  std::optional<int> value = with_stack ? from.recv() : co_await rt::async_recv(from);
  co_await rt::async_send(to, value.value_or(0));
}

TEST_P(whole_program, of_coroutines_that_is_asleep_is_a_deadlock) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  rt_test::prepare_death_test();
  auto deadlock = [] {
    rt_test::in_runtime(GetParam(), [] {
      rt::chan<int> one;
      rt::chan<int> other;
      rt::chan<int> third;
      rt::go(relay(one, other, false), "without a stack");
      rt::go(relay(other, third, true), "with one");
      third.recv();
    });
  };
  EXPECT_EXIT(deadlock(), testing::ExitedWithCode(2),
              "fatal error: all green threads are asleep - deadlock!(.|\n)*.chan receive(.|\n)*name: without a stack");
}

rt::coroutine<> send_late(rt::chan<int> to) {
  co_await rt::async_sleep_for(long_enough);
  co_await rt::async_send(to, 1);
}

TEST(whole_program, with_a_coroutine_that_sleeps_is_no_deadlock) {
  rt_test::in_runtime(2, [] {
    rt::chan<int> later;
    rt::go(send_late(later));
    later.recv();
  });
}

rt::coroutine<> receive_for_long(rt::chan<int> never, rt::chan<int> to) {
  co_await rt::async_recv_for(never, long_enough);
  co_await rt::async_send(to, 1);
}

TEST(whole_program, with_a_coroutine_that_waits_with_a_deadline_is_no_deadlock) {
  rt_test::in_runtime(2, [] {
    rt::chan<int> later;
    rt::go(receive_for_long(rt::chan<int>(), later));
    later.recv();
  });
}

TEST(whole_program, that_only_reports_goes_on) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  rt_test::prepare_death_test();
  auto deadlock = [] {
    rt::run_options options;
    options.on_deadlock = rt::deadlock_policy::report;
    rt::run(
        [] {
          rt::chan<int>().recv();
          return 0;
        },
        options);
  };
  // The process is ended by its alarm and not by the report.
  EXPECT_EXIT(
      {
        alarm(8);
        deadlock();
      },
      testing::KilledBySignal(SIGALRM), "warning: all green threads are asleep");
}

TEST(whole_program, with_a_timer_is_no_deadlock) {
  rt_test::in_runtime(2, [] {
    rt::chan<int> later;
    rt::go([&] {
      rt::sleep_for(long_enough);
      later.send(1);
    });
    later.recv();
  });
}

TEST(whole_program, with_a_foreign_thread_is_no_deadlock) {
  rt::chan<int> later;
  std::thread foreign([&] {
    std::this_thread::sleep_for(long_enough);
    while (!later.try_send(1)) std::this_thread::yield();
  });
  rt_test::in_runtime(2, [&] { later.recv(); });
  foreign.join();
}

TEST(whole_program, in_a_blocking_call_is_no_deadlock) {
  rt_test::in_runtime(2, [] {
    rt::chan<int> later;
    rt::go([&] {
      rt::blocking([] { std::this_thread::sleep_for(long_enough); });
      later.send(1);
    });
    later.recv();
  });
}

// The one who writes is another process.
TEST(whole_program, that_waits_for_a_socket_is_no_deadlock) {
  const std::string path = testing::TempDir() + "rt_deadlock_test." + std::to_string(getpid());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    char start;
    if (read(ready[0], &start, 1) != 1) _exit(1);
    sleep(4);
    // Without the runtime: its poller is the parent's after a fork.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    _exit(connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  rt_test::in_runtime(2, [&] {
    auto listener = rt::net::listen("unix", path);
    ASSERT_EQ(write(ready[1], "s", 1), 1);
    listener.accept();
  });
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  unlink(path.c_str());
}

}  // namespace
