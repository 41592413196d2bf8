// Parking and unparking (runtime/sched/park_word.h, park.h) in all executions that the
// checker finds (checker/explorer.cpp), or within a bound on preemptions.
//
// Thread 0 of the model is the M on which the green thread runs first; others wake it. Whoever is entitled to it (a
// claimer, or the M that found a token) runs it on, as an M that took it from a run queue would.
#include "runtime/sched/park_word.h"

#include <gtest/gtest.h>

#include "runtime/sched/park.h"
#include "tests/model/expect.h"

namespace {

namespace park_word = rt::detail::park_word;

bool claim(park_word::word& one) noexcept { return park_word::claim(one) != park_word::claim_result::token_left; }

struct green {
  park_word::word word{park_word::active};
  int stack = 0;                  // what it keeps on its stack; plain: two Ms that ran it would race
  std::atomic<int> condition{0};  // what it waits for
  int message = 0;                // what a waker writes before it
  std::atomic<bool> ended{false};
  int resumed = 0;

  green() {
    rt_model::name(&word, "word");
    rt_model::name(&condition, "condition");
    rt_model::name(&ended, "ended");
  }

  // From its condition's check to where it leaves its CPU; true: it is to be settled by whoever comes after it.
  bool run_until_park(int wanted) {
    ++stack;
    while (condition.load(std::memory_order_relaxed) < wanted) {
      if (!park_word::take_token(word)) return true;
    }
    ended.store(true, std::memory_order_release);
    return false;
  }
  // An M runs it on, again and again while it finds tokens when it leaves.
  void run(int wanted) {
    do {
      ++resumed;
      if (!run_until_park(wanted)) return;
    } while (!park_word::settle(word));
  }
  void wake(int wanted) {
    condition.fetch_add(1, std::memory_order_relaxed);
    if (claim(word)) run(wanted);
  }
};

void one_waker() {
  green one;
  rt_model::thread([&] { one.run(1); });
  rt_model::thread([&] { one.wake(1); });
  rt_model::wait_for(one.ended, true);
  rt_model::join();
}

// The second may find it parked, notified, on its way, running on the first waker's M, or ended.
void two_wakers() {
  green one;
  rt_model::thread([&] { one.run(2); });
  rt_model::thread([&] { one.wake(2); });
  rt_model::thread([&] { one.wake(2); });
  rt_model::wait_for(one.ended, true);
  rt_model::join();
}

// The waker wrote what it wakes for with nothing but the token to order it.
void the_token_carries_what_was_written() {
  green one;
  rt_model::thread([&] {
    // It waits once, for the token alone.
    if (!park_word::take_token(one.word)) {
      if (park_word::settle(one.word)) return;
    }
    rt_model::require(one.message == 1, "woken without the message");
  });
  rt_model::thread([&] {
    one.message = 1;
    if (claim(one.word)) rt_model::require(one.message == 1, "");
  });
  rt_model::join();
}

// The second unpark finds the token of the first, and must add what it wrote.
void a_second_token_carries_as_well() {
  green one;
  std::atomic<int> first_done{0};
  rt_model::thread([&] {
    one.condition.store(1, std::memory_order_relaxed);
    park_word::claim(one.word);
    first_done.store(1, std::memory_order_relaxed);
  });
  rt_model::thread([&] {
    rt_model::wait_for(first_done, 1);
    one.condition.store(2, std::memory_order_relaxed);
    park_word::claim(one.word);
  });
  rt_model::join();
  rt_model::require(park_word::take_token(one.word), "no token after two unparks");
}

// A late unpark reaches the slot's next tenant: it goes on waiting (its park is in a loop), and is woken in the end.
void unpark_of_a_dead_one() {
  green one;
  std::atomic<int> given{0};
  rt_model::thread([&] { one.run(1); });
  rt_model::thread([&] {
    one.wake(1);
    rt_model::wait_for(one.ended, true);
    // The slot is used again, as spawn.cpp does it.
    one.ended.store(false, std::memory_order_relaxed);
    one.condition.store(0, std::memory_order_relaxed);
    one.word.store(park_word::active, std::memory_order_relaxed);
    given.store(1, std::memory_order_release);
    one.run(1);
  });
  rt_model::thread([&] {
    if (claim(one.word)) one.run(1);  // a timer of the first tenant, at any time
    rt_model::wait_for(given, 1);
    one.wake(1);
  });
  rt_model::join();
  rt_model::require(one.ended.load(std::memory_order_relaxed), "the new tenant sleeps for ever");
}

// A waker that has it from a list of waiters takes it off its word if it is parked, and else leaves a token.
void taken_while_it_is_parked() {
  rt::detail::green_thread one;
  int stack = 0;
  std::atomic<int> condition{0};
  auto run = [&] {
    ++stack;
    while (condition.load(std::memory_order_relaxed) == 0) {
      if (!park_word::take_token(one.park) && park_word::settle(one.park)) return;
    }
    stack += 10;
  };
  rt_model::thread(run);
  rt_model::thread([&] {
    condition.store(1, std::memory_order_relaxed);
    if (rt::detail::claim_if_parked(one) || claim(one.park)) run();
  });
  rt_model::join();
  rt_model::require(stack >= 10, "it sleeps for ever");
}

// Two of them: one takes it, the other finds it gone.
void taken_by_one_of_two() {
  rt::detail::green_thread one;
  int stack = 0;
  rt_model::thread([&] {
    ++stack;
    if (!park_word::settle(one.park)) ++stack;
  });
  for (int i = 0; i < 2; ++i) {
    rt_model::thread([&] {
      if (rt::detail::claim_if_parked(one)) ++stack;
    });
  }
  rt_model::join();
  rt_model::require(stack <= 2, "two have taken it");
}

TEST(park_model, no_wake_up_is_lost_and_one_m_at_a_time_runs_it) {
  rt_model::expect_holds("one_waker", {}, one_waker);
  rt_model::expect_holds("two_wakers", {}, two_wakers);
  rt_model::expect_holds("token", {}, the_token_carries_what_was_written);
  rt_model::expect_holds("second_token", {}, a_second_token_carries_as_well);
  rt_model::expect_holds("taken", {}, taken_while_it_is_parked);
  rt_model::expect_holds("taken_by_one", {}, taken_by_one_of_two);
  rt_model::options bounded;
  bounded.preemptions = 3;  // all of them are some millions
  rt_model::expect_holds("dead_one", bounded, unpark_of_a_dead_one);
}

TEST(park_model, needs_its_orders) {
  auto all = [] {
    switch (rt_model::choose(6)) {
      case 0:
        return one_waker();
      case 1:
        return two_wakers();
      case 2:
        return a_second_token_carries_as_well();
      case 3:
        return taken_while_it_is_parked();
      case 4:
        return taken_by_one_of_two();
      default:
        return the_token_carries_what_was_written();
    }
  };
  // What a taker wrote goes to the M that runs the taken one by the run queue's release, or it is the same M.
  rt_model::expect_all_found("park", {}, all, {"sched/park_word.h", "sched/park.h"},
                             {"acq_rel -> acquire: one.park.compare_exchange_strong("});
}

// Parked before the stack is at rest: the waker's M runs a stack that the other one is still on.
TEST(park_model, settling_too_early_is_found) {
  rt_model::expect_found(
      "too_early", {},
      [] {
        green one;
        rt_model::thread([&] {
          if (park_word::take_token(one.word)) return;
          if (!park_word::settle(one.word)) return;
          ++one.stack;
        });
        rt_model::thread([&] {
          if (claim(one.word)) ++one.stack;
        });
        rt_model::join();
      },
      "data race");
}

// A waker that does not leave a token.
TEST(park_model, a_lost_wake_up_is_found) {
  rt_model::expect_found(
      "lost", {},
      [] {
        green one;
        rt_model::thread([&] { one.run(1); });
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

}  // namespace
