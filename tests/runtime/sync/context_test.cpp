// What a context is: its tree, its ends, its values.
#include "rt/context.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::eventually;
RT_ON_PROCS(contexts);

std::string text_of(const std::exception_ptr& error) {
  try {
    if (error != nullptr) std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  }
  return "";
}

TEST(context_background, never_ends_and_needs_no_runtime) {
  rt::context root = rt::background();
  EXPECT_FALSE(root.ended());
  EXPECT_FALSE(root.error());
  EXPECT_EQ(root.cause(), nullptr);
  EXPECT_FALSE(root.deadline().has_value());
  EXPECT_FALSE(root.done());
  EXPECT_NO_THROW(root.throw_if_ended());
  rt::cancellable_context child = rt::with_cancel(root);
  child.cancel();
  EXPECT_TRUE(child.ended());
  EXPECT_FALSE(rt::current_context().ended());
}

TEST(context_background, a_deadline_needs_a_runtime) {
  EXPECT_THROW(rt::with_timeout(rt::background(), 1h), std::system_error);
  rt::cancellable_context past = rt::with_timeout(rt::background(), -1s);
  EXPECT_EQ(past.error(), std::errc::timed_out);
}

TEST_P(contexts, cancel_reaches_all_below_and_nothing_above) {
  run([] {
    rt::cancellable_context top = rt::with_cancel(rt::background());
    rt::cancellable_context middle = rt::with_cancel(top);
    static const rt::context_key<int> key;
    rt::context value = rt::with_value(middle, key, 1);
    rt::cancellable_context leaf = rt::with_cancel(value);
    rt::cancellable_context beside = rt::with_cancel(top);
    middle.cancel(std::make_exception_ptr(std::runtime_error("enough")));
    for (const rt::context& one : {rt::context(middle), value, rt::context(leaf)}) {
      EXPECT_TRUE(one.ended());
      EXPECT_EQ(one.error(), std::errc::operation_canceled);
      EXPECT_EQ(text_of(one.cause()), "enough");
      EXPECT_TRUE(one.done().is_closed());
    }
    EXPECT_FALSE(top.ended());
    EXPECT_FALSE(beside.ended());
    EXPECT_FALSE(top.done().is_closed());
    rt::cancellable_context late = rt::with_cancel(value);
    EXPECT_TRUE(late.ended()) << "one that is made below an ended one has ended";
    EXPECT_EQ(text_of(late.cause()), "enough");
    EXPECT_TRUE(late.done().is_closed());
  });
}

TEST_P(contexts, only_the_first_cancel_counts) {
  run([] {
    rt::cancellable_context one = rt::with_cancel(rt::background());
    one.cancel(std::make_exception_ptr(std::runtime_error("first")));
    one.cancel(std::make_exception_ptr(std::runtime_error("second")));
    EXPECT_EQ(text_of(one.cause()), "first");
    try {
      one.throw_if_ended();
      ADD_FAILURE();
    } catch (const rt::context_error& error) {
      EXPECT_EQ(error.code(), std::errc::operation_canceled);
      EXPECT_EQ(text_of(error.cause()), "first");
      EXPECT_NE(std::string(error.what()).find("the context was cancelled"), std::string::npos);
    }
  });
}

TEST_P(contexts, deadlines_end_them_and_are_inherited) {
  run([] {
    rt::time_point start = rt::now();
    rt::cancellable_context outer = rt::with_timeout(rt::background(), 5ms);
    rt::cancellable_context longer = rt::with_timeout(outer, 1h);
    rt::cancellable_context cancellable = rt::with_cancel(outer);
    EXPECT_EQ(longer.deadline(), outer.deadline()) << "the earliest wins";
    EXPECT_EQ(cancellable.deadline(), outer.deadline());
    rt::cancellable_context shorter = rt::with_deadline(longer, start + 2ms);
    EXPECT_EQ(shorter.deadline(), start + 2ms);
    EXPECT_EQ(shorter.done().recv().has_value(), false);
    EXPECT_GE(rt::now(), start + 2ms) << "never early";
    EXPECT_EQ(shorter.error(), std::errc::timed_out);
    EXPECT_FALSE(rt::with_cancel(rt::background()).ended());
    longer.done().recv();
    EXPECT_GE(rt::now(), *outer.deadline());
    EXPECT_EQ(longer.error(), std::errc::timed_out);
    EXPECT_EQ(longer.cause(), nullptr);
    EXPECT_TRUE(outer.ended());
    EXPECT_TRUE(eventually([&] { return cancellable.ended(); }));
    EXPECT_THROW(longer.throw_if_ended(), rt::context_error);
  });
}

TEST_P(contexts, extreme_deadlines) {
  run([] {
    EXPECT_TRUE(rt::with_timeout(rt::background(), 0s).ended());
    EXPECT_TRUE(rt::with_timeout(rt::background(), rt::duration::min()).ended());
    EXPECT_TRUE(rt::with_deadline(rt::background(), rt::time_point::min()).ended());
    EXPECT_FALSE(rt::with_timeout(rt::background(), rt::duration::max()).ended());
    EXPECT_FALSE(rt::with_deadline(rt::background(), rt::time_point::max()).ended());
  });
}

TEST_P(contexts, a_deadline_costs_a_timer_and_no_green_thread) {
  run([] {
    std::size_t threads = rt::num_green_threads();
    std::uint64_t timers = rt::read_stats().timers;
    std::vector<rt::cancellable_context> many;
    for (int i = 0; i < 100; ++i) many.push_back(rt::with_timeout(rt::background(), 1h));
    EXPECT_EQ(rt::num_green_threads(), threads);
    EXPECT_EQ(rt::read_stats().timers, timers + 100);
    for (int i = 0; i < 50; ++i) many[static_cast<std::size_t>(i)].cancel();
    EXPECT_EQ(rt::read_stats().timers, timers + 50) << "a cancel disarms";
    many.clear();
    EXPECT_EQ(rt::read_stats().timers, timers) << "and so does the last handle";
  });
}

struct counted {
  explicit counted(std::atomic<int>& count) : alive(&count) { ++*alive; }
  counted(const counted& other) : alive(other.alive) { ++*alive; }
  counted& operator=(const counted&) = delete;
  ~counted() { --*alive; }
  std::atomic<int>* alive;
};

TEST_P(contexts, values_are_found_by_key_and_die_with_the_last_handle) {
  run([] {
    static const rt::context_key<std::string> name;
    static const rt::context_key<std::string> other;
    static const rt::context_key<counted> life;
    rt::context outer = rt::with_value(rt::background(), name, "outer");
    rt::context inner = rt::with_value(rt::with_cancel(outer), name, std::string("inner"));
    EXPECT_EQ(*outer.value(name), "outer");
    EXPECT_EQ(*inner.value(name), "inner");
    EXPECT_EQ(outer.value(other), nullptr) << "each key object is a key of its own";
    EXPECT_EQ(rt::background().value(name), nullptr);
    std::atomic<int> alive{0};
    rt::cancellable_context child;
    {
      rt::context holder = rt::with_value(outer, life, counted(alive));
      child = rt::with_cancel(holder);
      EXPECT_EQ(alive.load(), 1);
    }
    EXPECT_EQ(alive.load(), 1) << "the one below owns the one above";
    child.cancel();
    EXPECT_EQ(alive.load(), 1) << "ended contexts keep their values";
    child = rt::cancellable_context();
    EXPECT_EQ(alive.load(), 0);
  });
}

TEST_P(contexts, without_cancel_keeps_values_only) {
  run([] {
    static const rt::context_key<int> key;
    rt::cancellable_context top = rt::with_timeout(rt::background(), 1h);
    rt::context severed = rt::without_cancel(rt::with_value(top, key, 7));
    rt::cancellable_context below = rt::with_cancel(severed);
    top.cancel();
    EXPECT_FALSE(severed.ended());
    EXPECT_FALSE(severed.deadline().has_value());
    EXPECT_FALSE(severed.done());
    EXPECT_EQ(*severed.value(key), 7);
    EXPECT_FALSE(below.ended());
    below.cancel();
    EXPECT_TRUE(below.ended());
  });
}

TEST_P(contexts, done_is_for_select) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    rt::chan<int> never;
    rt::go([work] {
      rt::sleep_for(1ms);
      work.cancel();
    });
    bool ended = false;
    rt::select(rt::on_recv(never, [](auto) { ADD_FAILURE(); }), rt::on_recv(work.done(), [&](auto nothing) {
                 ended = true;
                 EXPECT_FALSE(nothing.has_value());
               }));
    EXPECT_TRUE(ended);
    EXPECT_EQ(work.done(), work.done()) << "one channel for all";
  });
}

// Someone who closes the channel himself spoils nothing but his own waits.
TEST_P(contexts, a_closed_done_channel_does_no_harm) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    work.done().close();
    EXPECT_FALSE(work.ended());
    work.cancel();
    EXPECT_TRUE(work.ended());
  });
}

TEST_P(contexts, one_parent_forgets_its_children) {
  run([] {
    std::atomic<int> alive{0};
    static const rt::context_key<counted> life;
    rt::cancellable_context parent = rt::with_cancel(rt::background());
    std::vector<rt::cancellable_context> kept;
    for (int i = 0; i < 1000; ++i) {
      rt::cancellable_context child = rt::with_cancel(rt::with_value(parent, life, counted(alive)));
      if (i % 3 == 0) child.cancel();
      if (i % 5 == 0) kept.push_back(child);
    }
    EXPECT_EQ(alive.load(), 200);
    parent.cancel();
    for (const auto& one : kept) EXPECT_TRUE(one.ended());
    kept.clear();
    EXPECT_EQ(alive.load(), 0);
  });
}

TEST_P(contexts, a_deep_tree_ends_and_goes_without_deep_recursion) {
  run([] {
    rt::cancellable_context top = rt::with_cancel(rt::background());
    rt::context deep = top;
    for (int i = 0; i < 100'000; ++i) deep = rt::with_cancel(deep);
    top.cancel();
    EXPECT_TRUE(deep.ended());
    deep = rt::context();
  });
}

TEST_P(contexts, current_context_is_the_bound_one_or_the_roots) {
  run([] {
    rt::context root = rt::current_context();
    EXPECT_FALSE(root.ended());
    EXPECT_EQ(root.core(), rt::current_context().core());
    rt::chan<rt::detail::context_core*> seen;
    rt::go([&] { seen.send(rt::current_context().core()); });
    EXPECT_EQ(seen.recv(), root.core()) << "all green threads of a task share it";
    static const rt::context_key<int> key;
    rt::context bound = rt::with_value(root, key, 3);
    {
      rt::context_scope obey(bound);
      EXPECT_EQ(*rt::current_context().value(key), 3);
      {
        rt::context_scope nothing(rt::background());
        EXPECT_EQ(rt::current_context().value(key), nullptr);
      }
      rt::go([&] { seen.send(rt::current_context().core()); });
      EXPECT_EQ(seen.recv(), root.core()) << "a new green thread does not inherit it";
    }
    EXPECT_EQ(rt::current_context().core(), root.core());
  });
}

TEST(context_root, ends_with_the_run) {
  rt::context root;
  std::atomic<bool> cleaned{false};
  rt_test::in_runtime(2, [&] {
    root = rt::current_context();
    rt::after_func(root, [&] { cleaned = true; });
  });
  EXPECT_TRUE(root.ended());
  EXPECT_TRUE(cleaned.load()) << "an after_func of the root context runs when that ends";
}

}  // namespace
