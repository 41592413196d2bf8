#include "rt/local.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "runtime/sched/group.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(locals);

TEST_P(locals, each_green_thread_has_its_own) {
  run([] {
    static rt::local<int> number;
    rt::wait_group all;
    for (int i = 0; i < 20; ++i) {
      all.go([i] {
        EXPECT_EQ(number.find(), nullptr);
        EXPECT_EQ(*number, 0);
        *number = i;
        for (int j = 0; j < 10; ++j) {
          rt::yield();
          EXPECT_EQ(number.get(), i);
        }
        EXPECT_EQ(number.find(), &*number);
      });
    }
    all.wait();
    EXPECT_EQ(number.find(), nullptr);
  });
}

TEST_P(locals, begin_as_a_function_says_and_live_through_blocking) {
  run([] {
    rt::local<std::string> text{[] {
      rt::yield();
      return "green thread " + std::to_string(rt::green_thread_id());
    }};
    std::string mine = "green thread " + std::to_string(rt::green_thread_id());
    EXPECT_EQ(*text, mine);
    EXPECT_EQ(text->size(), mine.size());
    rt::blocking([&] { EXPECT_EQ(*text, mine); });
  });
}

// Destructors run in the opposite order, may park although the green thread is cancelled, and may use other locals.
TEST_P(locals, are_destroyed_at_the_end_of_their_green_thread) {
  run([] {
    static rt::chan<std::string> ended(16);
    struct named {
      std::string name;
      ~named() {
        rt::sleep_for(1ms);
        EXPECT_TRUE(rt::is_cancelled());
        ended.send(name);
      }
    };
    static rt::local<named> first;
    static rt::local<named> second;
    struct late {
      ~late() { first->name = "first, renamed"; }
    };
    static rt::local<late> third;
    static rt::local<named> fourth;
    struct asks {
      ~asks() { fourth->name = "fourth, made by a destructor"; }
    };
    static rt::local<asks> fifth;
    rt::scope scope;
    scope.go([] {
      first->name = "first";
      second->name = "second";
      *third;
      *fifth;
      rt::chan<int>().recv();
    });
    scope.cancel();
    scope.wait();
    EXPECT_EQ(ended.try_recv(), "fourth, made by a destructor") << "a scope waits for them";
    EXPECT_EQ(ended.try_recv(), "second");
    EXPECT_EQ(ended.try_recv(), "first, renamed");
    EXPECT_EQ(ended.try_recv(), std::nullopt);
  });
}

TEST_P(locals, that_fail_to_begin_are_tried_again) {
  run([] {
    int tries = 0;
    rt::local<int> number{[&]() -> int {
      if (++tries == 1) throw std::runtime_error("not yet");
      return tries;
    }};
    EXPECT_THROW(number.get(), std::runtime_error);
    EXPECT_EQ(number.get(), 2);
  });
}

TEST_P(locals, outlive_their_rt_local) {
  run([] {
    auto owner = std::make_shared<int>(1);
    rt::wait_group all;
    all.go([&] {
      rt::local<std::shared_ptr<int>> short_lived{[&] { return owner; }};
      short_lived.get();
      EXPECT_EQ(owner.use_count(), 2);
    });
    all.wait();
    EXPECT_TRUE(rt_test::eventually([&] { return owner.use_count() == 1; }));
  });
}

TEST(local_outside, is_refused) {
  static rt::local<int> number;
  EXPECT_EQ(number.find(), nullptr);
  EXPECT_THROW(number.get(), rt::usage_error);
  static rt::task_local<int> other;
  EXPECT_EQ(other.find(), nullptr);
  EXPECT_THROW(other.get(), rt::usage_error);
}

TEST_P(locals, of_a_task_are_made_once) {
  run([] {
    static std::atomic<int> made;
    made = 0;
    rt::task_local<std::atomic<int>*> shared{[] {
      rt::yield();
      ++made;
      static std::atomic<int> number;
      number = 0;
      return &number;
    }};
    EXPECT_EQ(shared.find(), nullptr);
    rt::wait_group all;
    for (int i = 0; i < 20; ++i) all.go([&] { ++**shared; });
    all.wait();
    EXPECT_EQ(made.load(), 1);
    EXPECT_EQ(*shared.find(), *shared);
    EXPECT_EQ((**shared).load(), 20);
  });
}

TEST_P(locals, of_a_task_belong_to_their_group) {
  run([] {
    static rt::task_local<int> number;
    *number = 1;
    rt::detail::group group("task");
    rt::detail::spawn(&group.domain, rt::go_options{}, [] {
      EXPECT_EQ(*number, 0);
      *number = 2;
      rt::wait_group all;
      all.go([] { EXPECT_EQ(*number, 2); });
      all.wait();
    });
    EXPECT_TRUE(group.wait_until_at_most(0, rt::os::nanotime() + 10'000'000'000));
    EXPECT_EQ(*number, 1);
  });
}

TEST(task_locals, of_a_run_are_destroyed_on_a_green_thread_at_its_end) {
  static std::atomic<int> ended;
  ended = 0;
  struct counted {
    ~counted() {
      rt::sleep_for(1ms);
      EXPECT_NE(rt::green_thread_id(), 0u);
      rt::go([] { ++ended; });
      ++ended;
    }
  };
  static rt::task_local<counted> value;
  rt_test::in_runtime(2, [] { value.get(); });
  EXPECT_EQ(ended.load(), 2);
}

}  // namespace
