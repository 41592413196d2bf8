// The checker itself: known programs, with the outcomes that C++20 allows and forbids. Each allowed one must be found,
// each forbidden one never; so both a checker that knows too few executions and one that makes some up show.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>

#include "tests/model/checker/model.h"

namespace {

using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

std::set<std::string> outcomes;  // of the exploration at hand

void record(std::initializer_list<int> values) {
  rt_model::unwatched guard;
  std::string text;
  for (int one : values) text += static_cast<char>('0' + one);
  outcomes.insert(text);
}

std::set<std::string> all_outcomes(const std::function<void()>& body, bool early_stores = true) {
  outcomes.clear();
  rt_model::options bounds;
  bounds.early_stores = early_stores;
  rt_model::outcome result =
      rt_model::explore(testing::UnitTest::GetInstance()->current_test_info()->name(), bounds, body);
  EXPECT_FALSE(result.failed) << result.what;
  EXPECT_TRUE(result.complete);
  std::printf("%llu executions, %llu redundant\n", static_cast<unsigned long long>(result.executions),
              static_cast<unsigned long long>(result.redundant));
  return outcomes;
}

using set = std::set<std::string>;

set store_buffering(std::memory_order store, std::memory_order load, bool fences, std::memory_order fence) {
  return all_outcomes([=] {
    std::atomic<int> x{0};
    std::atomic<int> y{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      x.store(1, store);
      if (fences) std::atomic_thread_fence(fence);
      first = y.load(load);
    });
    rt_model::thread([&] {
      y.store(1, store);
      if (fences) std::atomic_thread_fence(fence);
      second = x.load(load);
    });
    rt_model::join();
    record({first, second});
  });
}

TEST(litmus, store_buffering_relaxed_lets_both_read_zero) {
  EXPECT_EQ(store_buffering(memory_order_relaxed, memory_order_relaxed, false, memory_order_relaxed),
            (set{"00", "01", "10", "11"}));
}
TEST(litmus, store_buffering_with_release_and_acquire_lets_both_read_zero) {
  EXPECT_EQ(store_buffering(memory_order_release, memory_order_acquire, true, memory_order_acq_rel),
            (set{"00", "01", "10", "11"}));
}
TEST(litmus, store_buffering_sequentially_consistent) {
  EXPECT_EQ(store_buffering(memory_order_seq_cst, memory_order_seq_cst, false, memory_order_relaxed),
            (set{"01", "10", "11"}));
}
TEST(litmus, store_buffering_with_sequential_fences) {
  EXPECT_EQ(store_buffering(memory_order_relaxed, memory_order_relaxed, true, memory_order_seq_cst),
            (set{"01", "10", "11"}));
}

TEST(litmus, store_buffering_with_a_sequential_fence_on_one_side_only) {
  set found = all_outcomes([] {
    std::atomic<int> x{0};
    std::atomic<int> y{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      x.store(1, memory_order_relaxed);
      std::atomic_thread_fence(memory_order_seq_cst);
      first = y.load(memory_order_relaxed);
    });
    rt_model::thread([&] {
      y.store(1, memory_order_relaxed);
      second = x.load(memory_order_relaxed);
    });
    rt_model::join();
    record({first, second});
  });
  EXPECT_EQ(found, (set{"00", "01", "10", "11"}));
}

// A fence on one side, sequentially consistent operations on the other: the runtime's invariant 3 has both forms.
TEST(litmus, store_buffering_with_a_fence_against_sequential_operations) {
  set found = all_outcomes([] {
    std::atomic<int> x{0};
    std::atomic<int> y{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      x.store(1, memory_order_relaxed);
      std::atomic_thread_fence(memory_order_seq_cst);
      first = y.load(memory_order_relaxed);
    });
    rt_model::thread([&] {
      y.store(1, memory_order_seq_cst);
      second = x.load(memory_order_seq_cst);
    });
    rt_model::join();
    record({first, second});
  });
  EXPECT_EQ(found, (set{"01", "10", "11"}));
}

set message_passing(std::memory_order store, std::memory_order load) {
  return all_outcomes([=] {
    std::atomic<int> data{0};
    std::atomic<int> flag{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      data.store(1, memory_order_relaxed);
      flag.store(1, store);
    });
    rt_model::thread([&] {
      first = flag.load(load);
      second = data.load(memory_order_relaxed);
    });
    rt_model::join();
    record({first, second});
  });
}

TEST(litmus, message_passing) {
  EXPECT_EQ(message_passing(memory_order_release, memory_order_acquire), (set{"00", "01", "11"}));
  EXPECT_EQ(message_passing(memory_order_relaxed, memory_order_acquire), (set{"00", "01", "10", "11"}));
  EXPECT_EQ(message_passing(memory_order_release, memory_order_relaxed), (set{"00", "01", "10", "11"}));
}

TEST(litmus, message_passing_through_fences) {
  set found = all_outcomes([] {
    std::atomic<int> data{0};
    std::atomic<int> flag{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      data.store(1, memory_order_relaxed);
      std::atomic_thread_fence(memory_order_release);
      flag.store(1, memory_order_relaxed);
    });
    rt_model::thread([&] {
      first = flag.load(memory_order_relaxed);
      std::atomic_thread_fence(memory_order_acquire);
      second = data.load(memory_order_relaxed);
    });
    rt_model::join();
    record({first, second});
  });
  EXPECT_EQ(found, (set{"00", "01", "11"}));
}

void load_buffering(std::memory_order order, std::memory_order load) {
  std::atomic<int> x{0};
  std::atomic<int> y{0};
  int first = 0;
  int second = 0;
  rt_model::thread([&] {
    first = x.load(load);
    y.store(1, order);
  });
  rt_model::thread([&] {
    second = y.load(load);
    x.store(1, order);
  });
  rt_model::join();
  record({first, second});
}

// C++ allows 11 here. No execution of the model shows it (explorer.cpp), but the pair that may show it can be refused.
TEST(litmus, load_buffering_is_not_shown_but_can_be_refused) {
  EXPECT_EQ(all_outcomes([] { load_buffering(memory_order_relaxed, memory_order_relaxed); }), (set{"00", "01", "10"}));
  rt_model::options bounds;
  bounds.refuse_load_buffering = true;
  rt_model::outcome relaxed = rt_model::explore_apart(
      "load_buffering", bounds, [] { load_buffering(memory_order_relaxed, memory_order_relaxed); });
  EXPECT_NE(relaxed.what.find("load buffering"), std::string::npos) << relaxed.what;
  EXPECT_FALSE(rt_model::explore_apart("load_buffering", bounds, [] {
                 load_buffering(memory_order_release, memory_order_acquire);
               }).failed);
}

set independent_reads(std::memory_order store, std::memory_order load) {
  return all_outcomes([=] {
    std::atomic<int> x{0};
    std::atomic<int> y{0};
    int seen[4] = {};
    rt_model::thread([&] { x.store(1, store); });
    rt_model::thread([&] { y.store(1, store); });
    rt_model::thread([&] {
      seen[0] = x.load(load);
      seen[1] = y.load(load);
    });
    rt_model::thread([&] {
      seen[2] = y.load(load);
      seen[3] = x.load(load);
    });
    rt_model::join();
    record({seen[0], seen[1], seen[2], seen[3]});
  });
}

TEST(litmus, independent_reads_of_independent_writes) {
  set weak = independent_reads(memory_order_release, memory_order_acquire);
  EXPECT_EQ(weak.size(), 16U);
  EXPECT_TRUE(weak.count("1010"));
  set strong = independent_reads(memory_order_seq_cst, memory_order_seq_cst);
  EXPECT_EQ(strong.size(), 15U);
  EXPECT_FALSE(strong.count("1010"));
}

set two_plus_two(std::memory_order order, bool early_stores) {
  return all_outcomes(
      [=] {
        std::atomic<int> x{0};
        std::atomic<int> y{0};
        rt_model::thread([&] {
          x.store(1, order);
          y.store(2, order);
        });
        rt_model::thread([&] {
          y.store(1, order);
          x.store(2, order);
        });
        rt_model::join();
        record({x.load(memory_order_relaxed), y.load(memory_order_relaxed)});
      },
      early_stores);
}

TEST(litmus, two_plus_two_writes) {
  EXPECT_EQ(two_plus_two(memory_order_relaxed, true), (set{"11", "12", "21", "22"}));
  EXPECT_EQ(two_plus_two(memory_order_release, true), (set{"11", "12", "21", "22"}));
  EXPECT_EQ(two_plus_two(memory_order_seq_cst, true), (set{"12", "21", "22"}));
  EXPECT_EQ(two_plus_two(memory_order_relaxed, false), (set{"12", "21", "22"}));
}

TEST(litmus, coherence_of_reads) {
  set found = all_outcomes([] {
    std::atomic<int> x{0};
    int seen[2] = {};
    rt_model::thread([&] { x.store(1, memory_order_relaxed); });
    rt_model::thread([&] { x.store(2, memory_order_relaxed); });
    rt_model::thread([&] {
      seen[0] = x.load(memory_order_relaxed);
      seen[1] = x.load(memory_order_relaxed);
    });
    rt_model::join();
    int last = x.load(memory_order_relaxed);
    record({seen[0], seen[1], last});
  });
  for (const std::string& one : found) {
    EXPECT_FALSE(one[0] != '0' && one[1] == '0') << one;        // back to the initial value
    EXPECT_FALSE(one[0] == one[2] && one[1] != one[0]) << one;  // away from the last value
  }
  EXPECT_TRUE(found.count("122"));
  EXPECT_TRUE(found.count("211"));
}

set release_sequence(bool by_rmw) {
  return all_outcomes([=] {
    std::atomic<int> data{0};
    std::atomic<int> flag{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      data.store(1, memory_order_relaxed);
      flag.store(1, memory_order_release);
      if (!by_rmw) flag.store(2, memory_order_relaxed);
    });
    rt_model::thread([&] {
      if (!by_rmw) return;
      int one = 1;
      flag.compare_exchange_strong(one, 2, memory_order_relaxed);
    });
    rt_model::thread([&] {
      first = flag.load(memory_order_acquire);
      second = data.load(memory_order_relaxed);
    });
    rt_model::join();
    record({first, second});
  });
}

TEST(litmus, release_sequences_go_through_read_modify_writes_and_not_through_plain_stores) {
  set through = release_sequence(true);
  EXPECT_TRUE(through.count("21"));
  EXPECT_FALSE(through.count("20"));
  EXPECT_FALSE(through.count("10"));
  set stores = release_sequence(false);
  EXPECT_TRUE(stores.count("20"));  // C++20: the second store begins nothing and continues nothing
  EXPECT_FALSE(stores.count("10"));
}

TEST(litmus, read_modify_writes_never_read_the_same_store) {
  set found = all_outcomes([] {
    std::atomic<int> x{0};
    int seen[3] = {};
    for (int& one : seen) {
      rt_model::thread([&] { one = x.fetch_add(1, memory_order_relaxed); });
    }
    rt_model::join();
    record({seen[0], seen[1], seen[2]});
  });
  EXPECT_EQ(found, (set{"012", "021", "102", "120", "201", "210"}));
}

void dekker(bool fences) {
  std::atomic<int> wants[2]{};
  int inside = 0;
  for (int me = 0; me < 2; ++me) {
    rt_model::thread([&, me] {
      wants[me].store(1, memory_order_relaxed);
      if (fences) std::atomic_thread_fence(memory_order_seq_cst);
      if (wants[1 - me].load(memory_order_relaxed) == 0) ++inside;
    });
  }
  rt_model::join();
}

TEST(litmus, dekker_is_safe_with_fences_only) {
  EXPECT_FALSE(rt_model::explore("dekker", {}, [] { dekker(true); }).failed);
  rt_model::outcome without = rt_model::explore_apart("dekker", {}, [] { dekker(false); });
  EXPECT_TRUE(without.failed);
  EXPECT_NE(without.what.find("data race"), std::string::npos) << without.what;
  EXPECT_NE(without.what.find("litmus_test.cpp"), std::string::npos) << without.what;
}

TEST(litmus, a_load_that_is_stale_lets_its_thread_run_ahead) {
  // Thread 1 reads the old x, then stores y; thread 0 reads that y before it stores x. Only an exploration that treats
  // a stale load as coming before the store finds it.
  set found = all_outcomes([] {
    std::atomic<int> x{0};
    std::atomic<int> y{0};
    int first = 0;
    int second = 0;
    rt_model::thread([&] {
      first = y.load(memory_order_relaxed);
      x.store(1, memory_order_relaxed);
    });
    rt_model::thread([&] {
      second = x.load(memory_order_relaxed);
      y.store(1, memory_order_relaxed);
    });
    rt_model::join();
    record({first, second});
  });
  EXPECT_TRUE(found.count("10"));
  EXPECT_TRUE(found.count("01"));
}

TEST(litmus, a_weak_compare_exchange_fails_without_reason) {
  set found = all_outcomes([] {
    std::atomic<int> x{0};
    int zero = 0;
    bool done = x.compare_exchange_weak(zero, 1, memory_order_relaxed);
    record({done ? 1 : 0});
  });
  EXPECT_EQ(found, (set{"0", "1"}));
}

TEST(checker, finds_a_deadlock_a_livelock_a_use_after_free_and_a_stack_frame_that_is_gone) {
  rt_model::outcome dead = rt_model::explore_apart("deadlock", {}, [] {
    std::atomic<int> word{0};
    rt_model::wait_for(word, 1);
  });
  EXPECT_TRUE(dead.failed);
  EXPECT_NE(dead.what.find("deadlock"), std::string::npos) << dead.what;

  rt_model::outcome live = rt_model::explore_apart("livelock", {}, [] {
    std::atomic<int> word{0};
    while (word.load() == 0) {
    }
  });
  EXPECT_NE(live.what.find("livelock"), std::string::npos) << live.what;

  rt_model::outcome freed = rt_model::explore_apart("freed", {}, [] {
    auto* word = new std::atomic<int>(0);
    std::atomic<int> done{0};
    rt_model::thread([&] {
      done.store(1, memory_order_release);
      word->store(1, memory_order_relaxed);
    });
    rt_model::wait_for(done, 1);
    delete word;
    rt_model::join();
  });
  EXPECT_TRUE(freed.failed);

  rt_model::outcome gone = rt_model::explore_apart("gone", {}, [] {
    std::atomic<std::atomic<int>*> shared{nullptr};
    rt_model::thread([&] {
      auto frame = [&](int value) __attribute__((noinline)) {
        std::atomic<int> local{value};
        shared.store(&local, memory_order_release);
        while (local.load(memory_order_acquire) == value) rt_model::wait_while(local, value);
      };
      frame(0);
      frame(5);
    });
    rt_model::thread([&] {
      rt_model::wait_while(shared, nullptr);
      std::atomic<int>* other = shared.load(memory_order_acquire);
      other->store(1, memory_order_release);
      other->store(2, memory_order_release);  // it may have seen the first, and be gone
    });
    rt_model::join();
  });
  EXPECT_TRUE(gone.failed);
}

TEST(checker, shows_the_same_execution_again_by_its_number) {
  auto once = [] { return rt_model::explore_apart("dekker", {}, [] { dekker(false); }).what; };
  EXPECT_EQ(once(), once());
}

}  // namespace
