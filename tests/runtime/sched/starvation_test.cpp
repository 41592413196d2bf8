// Nobody starves behind those that wake each other, that start others without end, or that yield all the time. Counted
// in decisions: a busy machine makes them longer, not more.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/interruptions.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(starvation);

// How many pairs, spawners or yielders keep every P busy.
int enough() { return 2 * rt::max_procs(); }

// What a wait may last on one P, in decisions of 2.5 ns at least (a yield takes 7 ns where this was written). A P looks
// at timers and the global queue at least every 20 us and at the poller every 100 us. The longest wait is that for an
// answer over a socket, two looks at the poller: 240 us. A wait for the global queue is three looks: that one, that of
// the turn of the one before, and as much for the P's own: 60 us.
constexpr std::uint64_t usual_decisions = 100'000;

// The waits of a test, in decisions, on one P, of which most last no longer than `usual`. With more Ps than CPUs some
// make decisions while the kernel lets the one wait whose turn it is, so no number of decisions is a bound.
class measured_waits {
 public:
  explicit measured_waits(std::uint64_t usual = usual_decisions) : usual_(usual) {}
  void add(std::uint64_t decisions) {
    waits_.push_back(decisions);
    // The kernel may have kept the one before off its CPU, which counts as its turn.
    if (rt::max_procs() == 1) {
      EXPECT_LE(decisions, usual_ + rt_test::decisions_of_interruptions(before_));
    }
    before_ = rt_test::interruptions();
  }
  ~measured_waits() {
    if (rt::max_procs() != 1 || waits_.empty()) return;
    // A turn takes some 20 us, and whom the kernel lets run runs for a millisecond and more.
    std::nth_element(waits_.begin(), waits_.begin() + static_cast<long>(waits_.size() / 2), waits_.end());
    EXPECT_LE(waits_[waits_.size() / 2], usual_);
  }

 private:
  std::uint64_t usual_;
  std::vector<std::uint64_t> waits_;
  long before_ = rt_test::interruptions();
};

void busy_for(rt::duration length) {
  for (auto until = rt::now() + length; rt::now() < until;) {
  }
}

struct counted_work {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> decisions{0};
};

// Two that hand a token to each other, which goes through runnext each time.
void ping_pong(rt::scope& scope, counted_work& work, rt::duration each_takes = 0ns) {
  rt::chan<int> there;
  rt::chan<int> back;
  scope.go([=, &work] {
    while (!work.stop) {
      work.decisions += 2;
      busy_for(each_takes);
      there.send(1);
      back.recv();
    }
    there.close();
  });
  scope.go([=] {
    while (there.recv()) {
      busy_for(each_takes);
      back.send(1);
    }
  });
}

TEST_P(starvation, one_in_the_ring_runs_beside_those_that_wake_each_other) {
  run([] {
    counted_work work;
    rt::scope scope;
    for (int i = 0; i < enough(); ++i) ping_pong(scope, work);
    ASSERT_TRUE(rt_test::eventually([&] { return work.decisions > 1000; }));
    // 64 runnexts for each decision of the ring, where the other pairs wait too. More when this thread is off its CPU
    // in its own turn: its P is taken then, and the pairs go on with that.
    measured_waits waits(static_cast<std::uint64_t>(66 * 2 * enough()));
    for (int i = 0; i < 100; ++i) {
      std::uint64_t before = work.decisions;
      rt::yield();
      waits.add(work.decisions - before);
    }
    work.stop = true;
    scope.wait();
  });
}

TEST_P(starvation, those_that_wake_each_other_share_one_slice) {
  if (GetParam() != 1) GTEST_SKIP() << "with more Ps another one takes the ring";
  run([] {
    counted_work work;
    rt::scope scope;
    ping_pong(scope, work, 1ms);
    ASSERT_TRUE(rt_test::eventually([&] { return work.decisions >= 4; }));
    // Without the bound in time it would be 64 decisions, which is the bound in number.
    int turns = 0;
    std::uint64_t most = 0;
    for (; turns < 5; ++turns) {
      std::uint64_t before = work.decisions;
      rt::yield();
      std::uint64_t passed = work.decisions - before;
      if (passed > most) most = passed;
    }
    EXPECT_LE(most, 24U);
    work.stop = true;
    scope.wait();
  });
}

TEST_P(starvation, others_run_beside_one_that_starts_others_without_end) {
  run([] {
    // One that starves the others would start this many (a second's worth) before it gives up.
    constexpr std::uint64_t far_too_many = 200'000;
    counted_work work;
    std::atomic<std::uint64_t> ended{0};
    rt::scope scope;
    for (int i = 0; i < rt::max_procs(); ++i) {
      scope.go([&] {
        std::uint64_t ended_before = ended;
        std::uint64_t started_before = work.decisions;
        while (!work.stop) {
          ++work.decisions;
          busy_for(5us);
          rt::go([&] { ++ended; });
          if (ended != ended_before) {
            ended_before = ended;
            started_before = work.decisions;
          }
          if (work.decisions - started_before > far_too_many) {
            ADD_FAILURE() << "none of " << far_too_many << " has run";
            break;
          }
        }
      });
    }
    for (int i = 0; i < 10; ++i) rt::yield();
    ASSERT_TRUE(rt_test::eventually([&] { return ended > 1000; }));
    work.stop = true;
    scope.wait();
    EXPECT_TRUE(rt_test::eventually([&] { return ended == work.decisions; }));
  });
}

TEST_P(starvation, a_chain_in_which_each_starts_the_next_lets_others_run) {
  run([] {
    struct chain {
      std::atomic<bool> stop{false};
      std::atomic<std::uint64_t> links{0};
      rt::wait_group alive;
      void next() {
        ++links;
        if (stop) {
          alive.done();
          return;
        }
        rt::go([this] { next(); });
      }
    };
    chain one;
    one.alive.add(enough());
    for (int i = 0; i < enough(); ++i) rt::go([&] { one.next(); });
    ASSERT_TRUE(rt_test::eventually([&] { return one.links > 1000; }));
    // The turns of as many chains as there are, and one of the global queue's: 64 and 61 decisions.
    measured_waits waits(static_cast<std::uint64_t>(66 * (enough() + 1)));
    for (int i = 0; i < 100; ++i) {
      std::uint64_t before = one.links;
      rt::yield();
      waits.add(one.links - before);
    }
    one.stop = true;
    one.alive.wait();
  });
}

class yielders : public rt_test::on_procs {
 protected:
  void run_beside_yielders(const std::function<void(counted_work&)>& body) {
    run([&] {
      counted_work work;
      rt::scope scope;
      for (int i = 0; i < 2 * enough(); ++i) {
        scope.go([&] {
          while (!work.stop) {
            ++work.decisions;
            rt::yield();
          }
        });
      }
      ASSERT_TRUE(rt_test::eventually([&] { return work.decisions > 1000; }));
      body(work);
      work.stop = true;
      scope.wait();
    });
  }
};
INSTANTIATE_TEST_SUITE_P(procs, yielders, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

TEST_P(yielders, do_not_starve_the_global_queue) {
  run_beside_yielders([](counted_work& work) {
    measured_waits waits;
    for (int i = 0; i < 20; ++i) {
      std::atomic<bool> ran{false};
      std::atomic<std::uint64_t> pushed_at{0};
      std::uint64_t ran_at = 0;
      std::thread outside([&] {
        rt::go([&] {
          ran_at = work.decisions;
          ran = true;
        });
        pushed_at = work.decisions.load();
      });
      ASSERT_TRUE(rt_test::eventually([&] { return ran.load(); }));
      rt::blocking([&] { outside.join(); });
      waits.add(ran_at > pushed_at ? ran_at - pushed_at : 0);
    }
  });
}

TEST_P(yielders, do_not_let_the_global_queue_grow) {
  run_beside_yielders([](counted_work& work) {
    const int burst = rt_test::scaled(10'000);
    std::atomic<int> ran{0};
    std::thread outside([&] {
      for (int i = 0; i < burst; ++i) rt::go([&] { ++ran; });
    });
    rt::blocking([&] { outside.join(); });
    // Every 61st decision is the global queue's, however seldom a P looks: every second look (20 us, at most 8000
    // decisions), for twice as many but at most 128, so that the P's own have as much time in between.
    std::uint64_t before = work.decisions;
    long interruptions = rt_test::interruptions();
    ASSERT_TRUE(rt_test::eventually([&] { return ran == burst; }));
    std::uint64_t passed = work.decisions - before;
    if (GetParam() == 1) {
      EXPECT_LE(passed, burst * 2 * 8000 / 128 + usual_decisions + rt_test::decisions_of_interruptions(interruptions));
    }
  });
}

TEST_P(yielders, do_not_starve_timers) {
  run_beside_yielders([](counted_work& work) {
    measured_waits waits;
    for (int i = 0; i < 20; ++i) {
      std::uint64_t before = work.decisions;
      rt::sleep_for(10us);
      waits.add(work.decisions - before);
    }
  });
}

TEST_P(yielders, do_not_starve_the_poller) {
  run_beside_yielders([](counted_work& work) {
    rt::net::listener listener = rt::net::listen("tcp", "127.0.0.1:0");
    rt::scope scope;
    scope.go([&] {
      rt::net::conn peer = listener.accept();
      char byte;
      while (peer.read(&byte, 1) == 1) peer.write(&byte, 1);
    });
    rt::net::conn mine = rt::net::dial("tcp", listener.address());
    measured_waits waits;
    for (int i = 0; i < 20; ++i) {
      std::uint64_t before = work.decisions;
      char byte = 'x';
      mine.write(&byte, 1);
      ASSERT_EQ(mine.read(&byte, 1), 1U);
      waits.add(work.decisions - before);
    }
    mine.close();
    scope.wait();
  });
}

}  // namespace
