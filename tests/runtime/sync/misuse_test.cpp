// Wrong calls end the task with an error of their own, and a plain program with a report.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "runtime/sched/group.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(misuses);

// Runs `body` in a group that keeps the text of its first failure, as a task does; the text, when all have ended.
std::string failure_of(const std::function<void()>& body) {
  static std::string text;
  text.clear();
  {
    rt::detail::group group("task", 0, [](rt::detail::group&, std::exception_ptr error) noexcept {
      try {
        std::rethrow_exception(error);
      } catch (const rt::usage_error& known) {
        if (text.empty()) text = known.what();
      } catch (...) {
        text = "another exception";
      }
    });
    rt::detail::spawn(&group.domain, rt::go_options{}, [&] { body(); });
    EXPECT_TRUE(group.wait_until_at_most(0, rt::os::nanotime() + 30'000'000'000));
  }
  return text;
}

TEST_P(misuses, fail_the_task_and_cancel_its_green_threads) {
  run([] {
    bool went_on = false;
    bool cancelled = false;
    EXPECT_EQ(failure_of([&] {
                rt::mutex mutex;
                mutex.unlock();
                went_on = true;
                try {
                  rt::sleep_for(1h);
                } catch (const rt::cancelled&) {
                  cancelled = true;
                  throw;
                }
              }),
              "rt::mutex::unlock: the mutex is not locked; unlock once for each lock");
    EXPECT_TRUE(went_on);
    EXPECT_TRUE(cancelled);
  });
}

TEST_P(misuses, of_what_cannot_throw) {
  run([] {
    EXPECT_EQ(failure_of([] {
                rt::shared_mutex mutex;
                mutex.unlock();
                EXPECT_TRUE(mutex.try_lock()) << "nothing has changed";
              }),
              "rt::shared_mutex::unlock: it is not locked for writing; what lock_shared locks is unlocked by "
              "unlock_shared");
    EXPECT_EQ(failure_of([] {
                rt::shared_mutex mutex;
                mutex.lock();
                mutex.unlock_shared();
                EXPECT_FALSE(mutex.try_lock());
              }),
              "rt::shared_mutex::unlock_shared: it is not locked for reading; what lock locks is unlocked by unlock");
    EXPECT_EQ(failure_of([] {
                rt::semaphore units(3);
                units.acquire(2);
                units.release(3);
                EXPECT_EQ(units.available(), 1);
              }),
              "rt::semaphore::release: more units than are taken; give back what was acquired, once");
    EXPECT_EQ(failure_of([] {
                rt::semaphore units(3);
                units.release(-1);
                EXPECT_EQ(units.available(), 3);
              }),
              "rt::semaphore::release: more units than are taken; give back what was acquired, once");
    EXPECT_EQ(failure_of([] {
                rt::wait_group group;
                group.add(2);
                group.add(-3);
                group.add(-2);  // it stayed as it was
                group.wait();
              }),
              "rt::wait_group: the counter became negative; call done() once for each add(1)");
    EXPECT_EQ(failure_of([] {
                rt::wait_group group;
                group.add(INT64_MAX);
                group.wait();
              }),
              "rt::wait_group::add: more than 2^40 at once");
  });
}

TEST_P(misuses, of_what_can_throw) {
  run([] {
    EXPECT_EQ(failure_of([] {
                rt::chan<int> channel;
                channel.close();
                channel.send(1);
              }),
              "rt::chan::send: the channel is closed; close it when all senders are done");
    EXPECT_EQ(failure_of([] {
                rt::chan<int> channel;
                channel.close();
                channel.close();
              }),
              "rt::chan::close: the channel is closed already; let one party close it");
    EXPECT_EQ(failure_of([] { rt::chan<int>(nullptr).close(); }), "rt::chan::close: there is no channel to close");
    EXPECT_EQ(failure_of([] { rt::semaphore(1).acquire(2); }),
              "rt::semaphore::acquire: 2 units of a semaphore of size 1; ask for 0 to 1");
  });
}

// The negative count is taken back while somebody waits: he is woken by the right one and no other.
TEST_P(misuses, of_a_wait_group_keeps_its_waiters) {
  run([] {
    EXPECT_NE(failure_of([] {
                rt::cancellation_shield shield;
                rt::wait_group group;
                group.add(1);
                bool through = false;
                rt::wait_group waiters;
                waiters.go([&] {
                  rt::cancellation_shield inside;
                  group.wait();
                  through = true;
                });
                rt::sleep_for(1ms);
                group.add(-5);
                rt::sleep_for(1ms);
                EXPECT_FALSE(through);
                group.done();
                waiters.wait();
                EXPECT_TRUE(through);
              }),
              "");
  });
}

TEST(misuse_death, of_a_plain_program_is_reported) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt_test::in_runtime(1,
                                   [] {
                                     rt::shared_mutex mutex;
                                     mutex.unlock_shared();
                                   }),
               "rtd runtime: rt::shared_mutex::unlock_shared: it is not locked for reading");
  EXPECT_DEATH(rt::semaphore(1).release(), "rtd runtime: rt::semaphore::release: more units than are taken");
}

}  // namespace
