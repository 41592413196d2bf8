#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "runtime/sched/group.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(cancelling);

// Whatever a green thread waits in, cancelling its scope ends the wait with rt::cancelled.
TEST_P(cancelling, ends_every_kind_of_wait) {
  run([] {
    rt::chan<int> empty;
    rt::chan<int> full;
    rt::chan<int> none(nullptr);
    rt::mutex held;
    held.lock();
    rt::wait_group busy;
    busy.add();
    rt::condition never;
    std::atomic<int> ended{0};
    std::atomic<int> started{0};
    rt::scope scope;
    auto expect_cancelled = [&](auto wait) {
      scope.go([&, wait] {
        ++started;
        try {
          wait();
          ADD_FAILURE() << "the wait returned";
        } catch (const rt::cancelled&) {
          ++ended;
        }
      });
    };
    expect_cancelled([&] { empty.recv(); });
    expect_cancelled([&] { full.send(1); });
    expect_cancelled([&] { none.recv(); });
    expect_cancelled([&] { none.send(1); });
    expect_cancelled([&] { rt::select(rt::on_recv(empty, [](auto) {}), rt::on_send(full, 1, [] {})); });
    expect_cancelled([&] { rt::select(); });
    expect_cancelled([&] { held.lock(); });
    expect_cancelled([&] { busy.wait(); });
    expect_cancelled([&] { rt::sleep_for(1h); });
    expect_cancelled([&] { empty.recv_for(1h); });
    expect_cancelled([&] {
      rt::mutex mine;
      std::unique_lock<rt::mutex> lock(mine);
      try {
        never.wait(lock);
      } catch (const rt::cancelled&) {
        EXPECT_FALSE(mine.try_lock()) << "the lock is held when wait throws";
        throw;
      }
    });
    expect_cancelled([&] {
      while (true) rt::yield();
    });
    expect_cancelled([&] {
      while (true) rt::checkpoint();
    });
    while (started != 13) rt::sleep_for(100us);
    rt::sleep_for(2ms);
    scope.cancel();
    scope.wait();
    EXPECT_EQ(ended.load(), 13);
    held.unlock();
    EXPECT_TRUE(held.try_lock()) << "a cancelled waiter has left the mutex";
    busy.done();
    busy.wait();
    EXPECT_FALSE(empty.try_send(1)) << "no cancelled receiver is left in the channel";
    EXPECT_FALSE(full.try_recv().has_value());
  });
}

TEST_P(cancelling, a_shield_holds_it_back) {
  run([] {
    rt::scope scope;
    rt::chan<int> inside;
    rt::chan<int> answer;
    scope.go([&] {
      {
        rt::cancellation_shield shield;
        inside.send(1);
        EXPECT_EQ(answer.recv(), 5);
        EXPECT_TRUE(rt::is_cancelled());
      }
      EXPECT_THROW(rt::sleep_for(1h), rt::cancelled);
    });
    inside.recv();
    scope.cancel();
    rt::sleep_for(1ms);
    answer.send(5);
    scope.wait();
  });
}

TEST_P(cancelling, a_whole_group_ends_and_is_counted_out) {
  run([] {
    auto group = std::make_unique<rt::detail::group>("task");
    constexpr int count = 200;
    for (int i = 0; i < count; ++i) {
      rt::detail::spawn(&group->domain, rt::go_options{}, [] {
        rt::go([] { rt::sleep_for(1h); });  // inherits the group
        rt::chan<int>().recv();
      });
    }
    while (group->created() < 2 * count) rt::yield();
    EXPECT_EQ(group->live(), 2U * count);
    group->domain.cancel();
    EXPECT_TRUE(group->wait_until_at_most(0, rt::os::nanotime() + 10'000'000'000));
    EXPECT_GT(group->cpu_seconds(), 0);
  });
}

TEST_P(cancelling, an_exception_goes_to_the_groups_hook) {
  run([] {
    static std::atomic<int> caught;
    caught = 0;
    rt::detail::group group("task", 0, [](rt::detail::group& failed, std::exception_ptr error) noexcept {
      try {
        std::rethrow_exception(error);
      } catch (int value) {
        caught = value + (failed.name == "task" ? 1 : 0);
      }
    });
    rt::detail::spawn(&group.domain, rt::go_options{}, [] { throw 41; });
    EXPECT_TRUE(group.wait_until_at_most(0, rt::os::nanotime() + 10'000'000'000));
    EXPECT_EQ(caught.load(), 42);
  });
}

}  // namespace
