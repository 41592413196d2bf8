// Behaviours 26 to 41: who runs when. Those that need the preemption of code without calls are in preemption_test.cpp,
// 35 and 42 in sharing_test.cpp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/run_queue.h"
#include "runtime/sched/scheduler.h"
#include "tests/conformance/conformance.h"

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_scheduling);

TEST_P(conformance_scheduling, b026_one_that_yields_in_a_loop_lets_another_go_on) {
  run([] {
    rt::chan<int> stop;
    rt::chan<int> stopped;
    rt::scope scope;
    scope.go([&] {
      for (bool going = true; going;) {
        rt::select(rt::on_recv(stop, [&](auto) { going = false; }), rt::otherwise([] { rt::yield(); }));
      }
      stopped.send(1);
    });
    rt::sleep_for(10ms);
    stop.send(1);
    stopped.recv();
    scope.wait();
  });
}

// Each waits, without giving its P away, for what the one before it does: all have to run at the same time.
void expect_all_at_once(int procs) {
  std::atomic<int> turn{0};
  rt::wait_group group;
  for (int p = 0; p < procs; ++p) {
    group.go([&turn, p, procs] {
      for (int i = 0; i < 3; ++i) {
        const int mine = procs * i + p;
        while (turn != mine) sched_yield();  // of the kernel: the P is kept
        turn = mine + 1;
      }
    });
  }
  group.wait();
  EXPECT_EQ(turn, procs * 3);
}

TEST(conformance_parallelism, b028_as_many_as_there_are_processors_run_at_once) {
  rt_test::in_runtime(4, [] {
    for (int round = 0; round < 10; ++round) expect_all_at_once(4);
  });
}

TEST(conformance_parallelism, b028_also_when_threads_were_parked_or_blocked_before) {
  rt_test::in_runtime(4, [] {
    for (int round = 0; round < 10; ++round) {
      // All threads go to sleep; one is in the kernel, one was made for what it left.
      rt::scope scope;
      scope.go([] { rt::blocking([] { usleep(2'000); }); });
      rt::sleep_for(1ms);
      expect_all_at_once(4);
      scope.wait();
      rt::sleep_for(1ms);
      expect_all_at_once(4);
    }
  });
}

TEST_P(conformance_scheduling, b029_busy_pairs_do_not_starve_a_timer) {
  run([] {
    std::atomic<bool> stop{false};
    rt::chan<int> ball;
    rt::scope scope;
    scope.go([&] {
      while (!stop) {
        ball.send(1);
        ball.recv();
      }
      ball.close();
    });
    scope.go([&] {
      while (ball.recv()) ball.send(1);
    });
    rt::scope timed;
    timed.go([&] {
      for (int i = 0; i < 5; ++i) {
        rt::timer timer(20ms);
        timer.channel().recv();
      }
      stop = true;
    });
    timed.wait();
    scope.wait();
  });
}

// One side asks the timer in the very loop in which it is kept busy.
TEST_P(conformance_scheduling, b029_a_pair_that_never_blocks_sees_its_timer) {
  run([] {
    rt::chan<int> buffered(4);
    rt::chan<int> done;
    rt::scope scope;
    scope.go([&] {
      for (bool going = true; going;) {
        rt::select(rt::on_send(buffered, 1, [] {}), rt::on_recv(done, [&](auto) { going = false; }),
                   rt::otherwise([] { rt::yield(); }));
      }
    });
    rt::timer timer(20ms);
    for (bool going = true; going;) {
      rt::select(rt::on_recv(buffered, [](auto) {}), rt::on_recv(timer.channel(), [&](auto) { going = false; }),
                 rt::otherwise([] { rt::yield(); }));
    }
    done.close();
    scope.wait();
  });
}

TEST_P(conformance_scheduling, b030_two_that_wait_for_each_others_flag_go_on_by_preemption_at_calls) {
  run([] {
    std::atomic<int> turn{0};
    rt::scope scope;
    for (int me = 0; me < 2; ++me) {
      scope.go([&, me] {
        for (int i = 0; i < 20; ++i) {
          while (turn != me) rt::checkpoint();
          turn = 1 - me;
        }
      });
    }
    scope.wait();
    if (GetParam() == 1) {
      EXPECT_GE(rt::read_stats().preemptions_total, 1U) << "nothing else can have switched";
    }
  });
}

TEST(conformance_one_processor, b034_short_blocking_calls_do_not_starve_a_sleeper) {
  rt_test::in_runtime(1, [] {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT_GE(null, 0);
    std::atomic<bool> stop{false};
    std::atomic<long> calls{0};
    rt::scope scope;
    for (int i = 0; i < 2; ++i) {
      scope.go([&] {
        while (!stop) {
          rt::blocking([&] { calls += write(null, ".", 1); });
        }
      });
    }
    // Sleeps end beside any number of calls. How many fit into one is for the kernel to say: a timer of a P that is
    // idle between two calls is the business of the thread in the poller, which may have to wait for a CPU.
    for (long sleeps = 0; sleeps < 10 || calls < 1000; ++sleeps) rt::sleep_for(1ms);
    stop = true;
    scope.wait();
    close(null);
  });
}

struct item {
  int number = 0;
  std::atomic<int> taken{0};
};
using queue = rt::detail::basic_run_queue<item, 256>;

TEST(conformance_local_queue, b037_gives_what_was_put_in_in_order) {
  std::vector<item> items(256);
  queue q;
  for (std::uint32_t fill = 1; fill <= 256; ++fill) {
    for (bool alone : {false, true}) {
      EXPECT_EQ(q.pop(alone), nullptr);
      for (std::uint32_t i = 0; i < fill; ++i) ASSERT_TRUE(q.push(&items[i]));
      EXPECT_EQ(q.size(), fill);
      if (fill == 256) {
        EXPECT_FALSE(q.push(items.data()));
      }
      for (std::uint32_t i = 0; i < fill; ++i) ASSERT_EQ(q.pop(alone), &items[i]);
      EXPECT_EQ(q.pop(alone), nullptr);
      EXPECT_EQ(q.size(), 0U);
    }
  }
}

TEST(conformance_local_queue, b037_a_steal_moves_half_without_loss_or_double) {
  std::vector<item> items(256);
  for (std::uint32_t fill = 0; fill <= 256; ++fill) {
    queue victim;
    queue thief;
    for (std::uint32_t i = 0; i < fill; ++i) victim.push(&items[i]);
    item* first = victim.steal_into(thief);
    std::vector<int> seen(256);
    std::uint32_t stolen = 0;
    auto note = [&](item* one) { ++seen[static_cast<std::size_t>(one - items.data())]; };
    if (first != nullptr) {
      ++stolen;
      note(first);
    }
    while (item* one = thief.pop(false)) {
      ++stolen;
      note(one);
    }
    std::uint32_t left = 0;
    while (item* one = victim.pop(false)) {
      ++left;
      note(one);
    }
    EXPECT_EQ(stolen + left, fill);
    EXPECT_LE(stolen > left ? stolen - left : left - stolen, 1U) << "of " << fill;
    for (std::uint32_t i = 0; i < 256; ++i) EXPECT_EQ(seen[i], i < fill ? 1 : 0);
  }
}

// The owner puts one in before it takes one out, so there is always one, whoever looks.
TEST(conformance_local_queue, b037_a_queue_that_is_not_empty_does_not_look_empty) {
  const unsigned seed = printed_seed();
  const int rounds = scaled(300'000);
  queue q;
  item items[3];
  ASSERT_TRUE(q.push(&items[0]));
  std::atomic<bool> stop{false};
  std::atomic<long> looks{0};
  std::atomic<long> looked_empty{0};
  std::thread watcher([&] {
    while (!stop) {
      looked_empty += q.size() == 0 ? 1 : 0;
      ++looks;
    }
  });
  while (looks == 0) std::this_thread::yield();
  std::minstd_rand random(seed);
  for (int i = 1; i <= rounds; ++i) {
    ASSERT_TRUE(q.push(&items[i % 3]));
    if (random() % 1024 == 0) std::this_thread::yield();
    ASSERT_NE(q.pop(false), nullptr);
  }
  stop = true;
  watcher.join();
  EXPECT_EQ(looked_empty, 0) << "of " << looks << " looks";
}

// In each round one P, each in its turn, has work that it does not get to: somebody visits it and takes the work.
// The P of the caller, which may have lost the one that it had: then it waits for another.
int proc_of_caller() {
  rt::detail::worker& self = rt::detail::enter_with_proc();
  const int id = self.p->id;
  rt::os::leave_critical(self);
  return id;
}

// How often one was taken from the green thread that ran on it, by signal, in a call or at one of the runtime.
std::uint64_t lost_processors() {
  rt::runtime_stats stats = rt::read_stats();
  return stats.freezes_total + stats.retakes_total + stats.preemptions_total;
}

TEST(conformance_stealing, b038_every_processor_is_visited_by_thieves) {
  constexpr int procs = 8;
  rt_test::in_runtime(procs, [] {
    // With fewer CPUs than Ps a hog may lose its P, and then nobody is on the victim's: until each had its turn.
    for (int victim = 0, tries = 0; victim < procs && tries < 1000; ++tries) {
      std::atomic<int> arrived{0};
      std::atomic<int> stolen{0};
      rt::scope scope;
      for (int i = 0; i < procs; ++i) {
        scope.go([&, victim] {
          const std::uint64_t lost_before = lost_processors();  // it may lose its P as soon as it waits
          ++arrived;
          while (arrived < procs) sched_yield();  // of the kernel: each keeps its P, so each P has one
          const int mine = proc_of_caller();
          if (mine != victim) return;
          for (int child = 0; child < 3; ++child) {
            rt::go([&, mine] { stolen += proc_of_caller() != mine ? 1 : 100; });
          }
          while (stolen < 3) sched_yield();
          // It holds its P, so that P runs none of them, unless this one lost it.
          if (stolen != 3) {
            EXPECT_GT(lost_processors(), lost_before) << "on P " << mine;
          }
        });
      }
      scope.wait();
      if (stolen == 3) ++victim;
      if (tries == 999) ADD_FAILURE() << "P " << victim;
    }
  });
}

TEST_P(conformance_scheduling, b039_the_number_of_green_threads_is_that_of_the_stacks_in_a_dump) {
  run([] {
    rt::chan<int> never;
    std::atomic<bool> stop{false};
    rt::scope scope;
    for (int i = 0; i < 300; ++i) scope.go(named("parked"), [&] { never.recv(); });
    for (int i = 0; i < 30; ++i) {
      scope.go([&] {
        while (!stop) rt::yield();
      });
    }
    for (int i = 0; i < 3; ++i)
      scope.go(named("blocked"), [&] {
        rt::blocking([&] {
          while (!stop) usleep(1000);
        });
      });
    ASSERT_TRUE(come_to_wait("parked", "chan receive", 300));
    ASSERT_TRUE(come_to_wait("blocked", "syscall", 3));
    EXPECT_EQ(rt::num_green_threads(), 334U);
    EXPECT_EQ(rt::all_green_threads().size(), 334U);
    const std::string dump = rt::all_stacks();
    std::size_t headers = 0;
    for (std::size_t at = dump.find("goroutine "); at != std::string::npos; at = dump.find("goroutine ", at + 1)) {
      if (at == 0 || dump[at - 1] == '\n') ++headers;
    }
    EXPECT_EQ(headers, 334U);
    stop = true;
    scope.cancel();
    scope.wait();
  });
}

TEST_P(conformance_scheduling, b040_changing_processors_and_stopping_the_world_at_once_never_deadlock) {
  const unsigned seed = printed_seed();
  run([seed] {
    std::atomic<bool> stop{false};
    rt::wait_group group;
    std::atomic<long> stops{0};
    for (unsigned i = 0; i < 4; ++i) {
      group.go([&, i] {
        std::minstd_rand random(seed + i);
        while (!stop) {
          if (i % 2 == 0) {
            rt::max_procs(static_cast<int>(1 + random() % 6));
          } else {
            rt::detail::the_scheduler()->stop_the_world();
            rt::detail::the_scheduler()->start_the_world();
          }
          ++stops;
          rt::yield();
        }
      });
      group.go([&] {
        while (!stop) {
          rt::release_memory();
          static_cast<void>(rt::all_stacks(100));
          static_cast<void>(rt::read_stats());
          rt::go([] { rt::yield(); });
          rt::sleep_for(100us);
        }
      });
    }
    std::thread outside([&] {
      std::minstd_rand random(seed + 4);
      while (!stop) {
        rt::max_procs(static_cast<int>(1 + random() % 6));
        ++stops;
        std::this_thread::sleep_for(100us);
      }
    });
    EXPECT_TRUE(eventually([&] { return stops >= scaled(400); }));
    stop = true;
    group.wait();
    rt::blocking([&] { outside.join(); });
  });
}

TEST(conformance_processors, b041_the_most_processors_work_and_more_are_refused) {
  rt_test::in_runtime(256, [] {
    EXPECT_EQ(rt::max_procs(), 256);
    std::atomic<int> ran{0};
    rt::wait_group group;
    for (int i = 0; i < 2000; ++i) {
      group.go([&] {
        rt::yield();
        ++ran;
      });
    }
    group.wait();
    EXPECT_EQ(ran, 2000);
    EXPECT_THROW(rt::max_procs(1024), std::invalid_argument);
    EXPECT_EQ(rt::max_procs(), 256);
  });
  rt::run_options options;
  options.max_procs = 1024;
  EXPECT_THROW(rt::run([] { return 0; }, options), std::invalid_argument);
}

}  // namespace
