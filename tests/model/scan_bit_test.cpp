// How the collector claims the stack of a parked green thread (runtime/sched/park_word.h) in the executions that the
// checker finds. Whoever is entitled to the green thread (a claimer, the M that found a token, or a scanner to which a
// wake was left) runs it on.
#include <gtest/gtest.h>

#include "runtime/sched/park_word.h"
#include "runtime/sched/scan_list.h"
#include "tests/model/expect.h"

namespace {

namespace park_word = rt::detail::park_word;

struct green {
  park_word::word word{park_word::active};
  int stack = 0;  // plain: a scan beside a run, or two runs, would race
  int seen_by_scan = -1;
  std::atomic<int> ran_since_scan{0};  // how many wakers were told that they change what was scanned
  std::atomic<int> condition{0};
  std::atomic<bool> ended{false};

  green() {
    rt_model::name(&word, "word");
    rt_model::name(&condition, "condition");
    rt_model::name(&ended, "ended");
  }
  void run(int wanted) {
    while (true) {
      ++stack;
      bool parks = false;
      while (condition.load(std::memory_order_relaxed) < wanted) {
        if (park_word::take_token(word)) continue;
        parks = true;
        break;
      }
      if (!parks) break;
      if (park_word::settle(word)) return;
    }
    ended.store(true, std::memory_order_relaxed);
  }
  void wake(int wanted) {
    condition.fetch_add(1, std::memory_order_relaxed);
    park_word::claim_result found = park_word::claim(word);
    if (found == park_word::claim_result::taken_scanned) ran_since_scan.fetch_add(1, std::memory_order_relaxed);
    if (found != park_word::claim_result::token_left) run(wanted);
  }
  void scan(int wanted) {
    if (!park_word::begin_scan(word)) return;
    seen_by_scan = stack;
    if (!park_word::end_scan(word)) return;
    ran_since_scan.fetch_add(1, std::memory_order_relaxed);
    run(wanted);
  }
  // Invariant 4: who ran since its scan is known to have.
  void check() const {
    bool changed = seen_by_scan >= 0 && seen_by_scan != stack;
    rt_model::require(!changed || ran_since_scan.load(std::memory_order_relaxed) != 0, "it ran unseen after its scan");
  }
};

void one_scan_and_one_wake() {
  green one;
  rt_model::thread([&] { one.run(1); });
  rt_model::thread([&] { one.wake(1); });
  rt_model::thread([&] { one.scan(1); });
  rt_model::wait_for(one.ended, true);
  rt_model::join();
  one.check();
}

// It is parked when the scan begins, and two wake it: the second finds what the first has left.
void one_scan_and_two_wakes() {
  green one;
  one.run(2);
  rt_model::require(one.word.load(std::memory_order_relaxed) == park_word::parked, "it is not parked");
  rt_model::thread([&] { one.wake(2); });
  rt_model::thread([&] { one.wake(2); });
  rt_model::thread([&] { one.scan(2); });
  rt_model::wait_for(one.ended, true);
  rt_model::join();
  one.check();
}

// Two scanners never have one stack.
void two_scans_and_one_wake() {
  green one;
  one.run(1);
  rt_model::thread([&] { one.wake(1); });
  rt_model::thread([&] { one.scan(1); });
  rt_model::thread([&] { one.scan(1); });
  rt_model::wait_for(one.ended, true);
  rt_model::join();
}

TEST(scan_bit_model, no_wake_is_lost_and_a_scan_sees_a_stack_at_rest) {
  rt_model::options bounded;
  bounded.preemptions = 3;
  rt_model::expect_holds("one_scan_and_one_wake", bounded, one_scan_and_one_wake);
  rt_model::expect_holds("one_scan_and_two_wakes", bounded, one_scan_and_two_wakes);
  rt_model::expect_holds("two_scans_and_one_wake", bounded, two_scans_and_one_wake);
}

TEST(scan_bit_model, needs_its_orders) {
  rt_model::options bounded;
  bounded.preemptions = 2;
  auto all = [] {
    switch (rt_model::choose(3)) {
      case 0:
        return one_scan_and_one_wake();
      case 1:
        return one_scan_and_two_wakes();
      default:
        return two_scans_and_one_wake();
    }
  };
  // What the second of two tokens needs is park_test.cpp's.
  rt_model::expect_all_found("scan_bit", bounded, all, {"sched/park_word.h"},
                             {"read-modify-write -> load, store: one.exchange(active, std::memory_order_acquire);  // "
                              "pairs with claim"});
}

// A wake that leaves a plain token when it meets the scan: nobody looks at it.
TEST(scan_bit_model, a_wake_that_is_not_left_for_the_scanner_is_lost) {
  rt_model::expect_found(
      "not_left", {},
      [] {
        green one;
        one.run(1);
        rt_model::thread([&] { one.scan(1); });
        rt_model::thread([&] {
          one.condition.store(1, std::memory_order_relaxed);
          std::uint32_t parked = park_word::parked;
          if (one.word.compare_exchange_strong(parked, park_word::active, std::memory_order_acq_rel)) one.run(1);
        });
        rt_model::wait_for(one.ended, true);
        rt_model::join();
      },
      "deadlock");
}

// A claimer that takes a stack which is being scanned.
TEST(scan_bit_model, running_a_stack_that_is_being_scanned_is_found) {
  rt_model::expect_found(
      "taken_from_the_scanner", {},
      [] {
        green one;
        one.run(1);
        rt_model::thread([&] { one.scan(1); });
        rt_model::thread([&] {
          one.condition.store(1, std::memory_order_relaxed);
          std::uint32_t before = one.word.exchange(park_word::active, std::memory_order_acq_rel);
          if (before == park_word::parked || before == park_word::scanning) one.run(1);
        });
        rt_model::join();
      },
      "data race");
}

// The list of those that ran (scan_list.h): whoever is added while or after the list is taken is found, now or later,
// and stands in it once.
void added_by_two_and_taken() {
  rt::detail::scan_list list;
  rt::detail::green_thread one;
  rt::detail::green_thread other;
  int ran = 0;  // what `one` wrote before it was added
  int taken_one = 0;
  auto take = [&] {
    int count = 0;
    for (rt::detail::green_thread* now = list.take_all(); now != nullptr;) {
      rt::detail::green_thread* next = rt::detail::scan_list::next(*now);
      if (now == &one) ++taken_one;
      ++count;
      now = next;
    }
    return count;
  };
  rt_model::thread([&] {
    ran = 1;
    list.add(one);
    list.add(other);
  });
  rt_model::thread([&] { list.add(other); });
  int count = 0;
  rt_model::thread([&] {
    count += take();
    if (taken_one != 0) rt_model::require(ran == 1, "taken before it was added");
  });
  rt_model::join();
  count += take();
  rt_model::require(taken_one == 1, "lost, or met twice");
  rt_model::require(count >= 2 && count <= 3, "the other one is lost, or met too often");
}

TEST(scan_list_model, nobody_is_lost_and_nobody_stands_in_it_twice) {
  rt_model::options bounded;
  bounded.preemptions = 3;
  rt_model::expect_holds("added_and_taken", bounded, added_by_two_and_taken);
}

}  // namespace
