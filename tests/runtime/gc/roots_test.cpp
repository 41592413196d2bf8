// Where references may stand, and keep what they refer to.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/gc/sight.h"

namespace {

using rt_test::are_destroyed;
using rt_test::chain_length;
using rt_test::clear_stack;
using rt_test::make_chain;
using rt_test::node;
using rt_test::out_of_sight;
using rt_test::tally;

RT_ON_PROCS(roots);

void collect_thrice() {
  for (int i = 0; i < 3; ++i) rt::gc();
}

TEST_P(roots, the_stack_of_a_parked_green_thread) {
  run([] {
    tally count;
    rt::chan<int> go_on;
    rt::chan<int> length;
    for (int i = 0; i < 10; ++i) {
      rt::go([&] {
        node* mine = make_chain(count, 50);
        go_on.recv();
        length.send(chain_length(mine));
      });
    }
    for (int i = 0; i < 3; ++i) {
      rt::yield();
      collect_thrice();
    }
    EXPECT_EQ(count.destroyed, 0);
    for (int i = 0; i < 10; ++i) go_on.send(0);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(length.recv(), 50);
  });
}

TEST_P(roots, the_closure_of_a_green_thread_that_has_not_begun) {
  run([] {
    tally count;
    rt::chan<int> length(20);
    out_of_sight([&] {
      for (int i = 0; i < 20; ++i) {
        rt::go([mine = rt::ref<node>(make_chain(count, 20)), length] { length.send(chain_length(mine)); });
      }
    });
    collect_thrice();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(length.recv(), 20);
  });
}

TEST_P(roots, what_a_loop_without_calls_has_in_its_registers) {
  run([] {
    tally count;
    const rt_test::sight_of_registers sight;
    std::atomic<bool> is_lost{false};
    std::atomic<bool> end{false};
    std::atomic<bool> begun{false};
    rt::chan<int> length(1);
    rt::go([&] {
      node* mine = make_chain(count, 20);
      begun = true;
      std::uint64_t sum = 0;
      while (!end.load(std::memory_order_relaxed)) {
        sum += static_cast<std::uint64_t>(mine->value);
        asm volatile("" : "+r"(sum));
      }
      length.send(is_lost ? 20 : chain_length(mine));
    });
    EXPECT_TRUE(rt_test::eventually([&] { return begun.load(); }));
    collect_thrice();
    is_lost = sight.is_lost();
    if (!is_lost) {
      EXPECT_EQ(count.destroyed, 0);
    }
    end = true;
    EXPECT_EQ(length.recv(), 20);
  });
}

TEST_P(roots, what_is_used_inside_of_rt_blocking) {
  run([] {
    tally count;
    std::atomic<bool> end{false};
    std::atomic<bool> begun{false};
    rt::chan<int> length(1);
    rt::go([&] {
      int found = 0;
      rt::blocking([&] {
        node* mine = make_chain(count, 20);
        begun = true;
        while (!end.load(std::memory_order_relaxed)) asm volatile("" : : "r"(mine));
        found = chain_length(mine);
      });
      length.send(found);
    });
    EXPECT_TRUE(rt_test::eventually([&] { return begun.load(); }));
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    end = true;
    EXPECT_EQ(length.recv(), 20);
  });
}

rt::ref<node> global;

TEST_P(roots, a_global_variable) {
  run([] {
    tally count;
    out_of_sight([&] { global = make_chain(count, 100); });
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    out_of_sight([&] {
      EXPECT_EQ(chain_length(global), 100);
      global = nullptr;
    });
    EXPECT_TRUE(are_destroyed(count, 95)) << count.destroyed;
  });
}

TEST_P(roots, an_rt_root_in_memory_of_malloc) {
  run([] {
    tally count;
    auto kept = std::make_unique<std::vector<rt::root<node>>>();
    out_of_sight([&] {
      for (int i = 0; i < 100; ++i) kept->emplace_back(make_chain(count, 5));
    });
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    for (const rt::root<node>& one : *kept) EXPECT_EQ(chain_length(one), 5);
    std::vector<rt::root<node>> copy(*kept);
    kept.reset();
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    copy.clear();
    EXPECT_TRUE(are_destroyed(count, 480)) << count.destroyed;
  });
}

TEST_P(roots, a_root_is_a_value) {
  run([] {
    tally count;
    node* one = rt::make<node>(count, 1);
    rt::root<node> first(one);
    rt::root<node> second;
    EXPECT_EQ(second.get(), nullptr);
    second = first;
    EXPECT_EQ(second->value, 1);
    rt::root<node> third(std::move(first));
    EXPECT_EQ(first.get(), nullptr);  // NOLINT(bugprone-use-after-move): that it is empty is what is looked at
    EXPECT_EQ(third.get(), one);
    second = rt::make<node>(count, 2);
    EXPECT_EQ(second->value, 2);
    second = std::move(third);
    EXPECT_EQ(second->value, 1);
    second = nullptr;
    EXPECT_EQ(second.get(), nullptr);
  });
}

struct carrying : std::runtime_error {
  explicit carrying(node* object) : std::runtime_error("carrying"), carried(object) {}
  rt::ref<node> carried;
};

[[gnu::noinline]] void throw_chain(tally& count) {
  throw carrying(make_chain(count, 30));  // NOLINT(hicpp-exception-baseclass)
}

// Its destructor collects while the exception is in flight: no handler has been entered, no frame refers to the chain.
struct collecting {
  ~collecting() {
    clear_stack();
    collect_thrice();
  }
};

TEST_P(roots, an_exception_in_flight) {
  run([] {
    tally count;
    int length = 0;
    try {
      collecting now;
      throw_chain(count);
    } catch (const carrying& one) {
      collect_thrice();
      length = chain_length(one.carried);
    }
    EXPECT_EQ(length, 30);
    EXPECT_TRUE(are_destroyed(count, 25)) << count.destroyed;
  });
}

TEST_P(roots, an_exception_that_a_std_exception_ptr_keeps) {
  run([] {
    tally count;
    auto kept = std::make_unique<std::exception_ptr>();
    out_of_sight([&] {
      try {
        throw_chain(count);
      } catch (...) {
        *kept = std::current_exception();
      }
    });
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    out_of_sight([&] {
      try {
        std::rethrow_exception(*kept);
      } catch (const carrying& one) {
        EXPECT_EQ(chain_length(one.carried), 30);
      }
    });
    kept.reset();
    EXPECT_TRUE(are_destroyed(count, 25)) << count.destroyed;
  });
}

TEST_P(roots, values_of_green_threads_and_of_tasks) {
  static rt::local<rt::ref<node>> of_thread;
  static rt::task_local<rt::ref<node>> of_task;
  run([] {
    tally count;
    rt::chan<int> go_on;
    rt::chan<int> length;
    rt::go([&] {
      out_of_sight([&] {
        *of_thread = make_chain(count, 20);
        *of_task = make_chain(count, 30);
      });
      go_on.recv();
      length.send(chain_length(*of_thread));
    });
    rt::yield();
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    go_on.send(0);
    EXPECT_EQ(length.recv(), 20);
    out_of_sight([&] { EXPECT_EQ(chain_length(*of_task), 30); });
    // The first value ended with its green thread.
    EXPECT_TRUE(are_destroyed(count, 18)) << count.destroyed;
    out_of_sight([&] { *of_task = nullptr; });
    EXPECT_TRUE(are_destroyed(count, 45)) << count.destroyed;
  });
}

TEST_P(roots, the_value_of_a_context) {
  static const rt::context_key<rt::ref<node>> key;
  run([] {
    tally count;
    auto kept = std::make_unique<rt::context>();
    out_of_sight([&] { *kept = rt::with_value(rt::background(), key, make_chain(count, 40)); });
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    out_of_sight([&] { EXPECT_EQ(chain_length(*kept->value(key)), 40); });
    kept.reset();
    EXPECT_TRUE(are_destroyed(count, 35)) << count.destroyed;
  });
}

TEST_P(roots, the_functions_of_timers_and_of_after_func) {
  run([] {
    tally count;
    rt::chan<int> length(2);
    rt::cancellable_context request = rt::with_cancel(rt::background());
    rt::timer late;
    out_of_sight([&] {
      late = rt::timer(std::chrono::hours(1),
                       [mine = rt::ref<node>(make_chain(count, 20)), length] { length.send(chain_length(mine)); });
      rt::after_func(request,
                     [mine = rt::ref<node>(make_chain(count, 30)), length] { length.send(chain_length(mine)); });
    });
    rt::yield();
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    out_of_sight([&] {
      request.cancel();
      EXPECT_EQ(length.recv(), 30);
      late.reset(rt::duration(0));
      EXPECT_EQ(length.recv(), 20);
      late = rt::timer();
    });
    EXPECT_TRUE(are_destroyed(count, 45)) << count.destroyed;
  });
}

TEST_P(roots, the_buffer_of_a_channel) {
  run([] {
    tally count;
    std::vector<rt::chan<rt::ref<node>>> all;
    out_of_sight([&] {
      for (int i = 0; i < 10; ++i) {
        all.emplace_back(4);
        for (int k = 0; k < 4; ++k) all.back().send(make_chain(count, 10));
      }
    });
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    out_of_sight([&] {
      for (auto& one : all) {
        for (int k = 0; k < 2; ++k) EXPECT_EQ(chain_length(*one.recv()), 10);
      }
    });
    EXPECT_TRUE(are_destroyed(count, 180)) << count.destroyed;
    EXPECT_LE(count.destroyed, 200);
    all.clear();
    EXPECT_TRUE(are_destroyed(count, 370)) << count.destroyed;
  });
}

TEST(roots_of_the_program, the_stack_of_the_thread_that_called_run) {
  tally count;
  node* mine = nullptr;
  rt_test::in_runtime(2, [&] {
    out_of_sight([&] { mine = make_chain(count, 100); });
    collect_thrice();
    EXPECT_EQ(count.destroyed, 0);
    EXPECT_EQ(chain_length(mine), 100);
  });
}

}  // namespace
