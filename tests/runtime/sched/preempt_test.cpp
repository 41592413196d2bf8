#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/os/clock.h"
#include "tests/runtime/computing.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(preemption_by_signal);

using rt_test::compute_a_little;
using rt_test::compute_until;
using rt_test::leave_the_sanitizer;

// How much one copy of memory takes: ThreadSanitizer, in whose code nothing is stopped, looks at each word of it.
#if defined(__SANITIZE_THREAD__)
constexpr std::size_t copied_at_once = 1 << 10;
#else
constexpr std::size_t copied_at_once = 1 << 22;
#endif

// More hogs than Ps, so that no P is left to whoever is to end them.
template <class Hog>
void others_go_on_beside(int procs, const Hog& hog) {
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  rt::wait_group group;
  for (int i = 0; i < procs + 2; ++i) {
    group.go([&] {
      ++begun;
      hog(stop);
    });
  }
  // This green thread needs a P for each of its wake-ups.
  EXPECT_TRUE(rt_test::eventually([&] { return begun == procs + 2; }));
  for (int i = 0; i < 5; ++i) rt::sleep_for(1ms);
  stop = true;
  group.wait();
  // On a machine with fewer CPUs than Ps a thread that waits for one may be taken for asleep.
  EXPECT_GT(rt::read_stats().freezes_total + rt::read_stats().retakes_total, 0U);
}

TEST_P(preemption_by_signal, of_a_loop_without_calls) {
  run([&] { others_go_on_beside(GetParam(), [](const std::atomic<bool>& stop) { compute_until(stop); }); });
}

TEST_P(preemption_by_signal, of_long_copies) {
  run([&] {
    others_go_on_beside(GetParam(), [](const std::atomic<bool>& stop) {
      std::vector<char> from(copied_at_once, 'x');
      std::vector<char> to(from.size());
      do {
        std::memcpy(to.data(), from.data(), from.size());
        leave_the_sanitizer();
      } while (!stop);
      EXPECT_EQ(to, from);
    });
  });
}

TEST_P(preemption_by_signal, inside_malloc) {
  run([&] {
    others_go_on_beside(GetParam(), [](const std::atomic<bool>& stop) {
      std::vector<void*> held(64);
      std::size_t size = 16;
      while (!stop) {
        for (void*& one : held) {
          std::free(one);
          size = size * 5 % 40961;
          one = std::malloc(size + 1);
          std::memset(one, 1, (size + 1) % copied_at_once);
          leave_the_sanitizer();
        }
      }
      for (void* one : held) std::free(one);
    });
  });
}

TEST_P(preemption_by_signal, with_a_mutex_of_the_system_held) {
  run([&] {
    std::mutex mutex;
    long counter = 0;
    std::atomic<long> rounds{0};
    others_go_on_beside(GetParam(), [&](const std::atomic<bool>& stop) {
      while (!stop) {
        std::lock_guard guard(mutex);
        long before = counter;
        compute_a_little();
        counter = before + 1;
        ++rounds;
      }
    });
    EXPECT_EQ(counter, rounds.load());
  });
}

TEST_P(preemption_by_signal, inside_a_catch_block) {
  run([&] {
    others_go_on_beside(GetParam(), [](const std::atomic<bool>& stop) {
      while (!stop) {
        try {
          throw std::runtime_error("mine");
        } catch (const std::runtime_error& error) {
          try {
            throw std::logic_error("inner");
          } catch (const std::logic_error& inner) {
            compute_a_little();
            ASSERT_STREQ(inner.what(), "inner");
          }
          ASSERT_STREQ(error.what(), "mine");
          ASSERT_EQ(std::uncaught_exceptions(), 0);
        }
      }
    });
  });
}

// Registers, flags, vector registers and errno are what they were.
TEST_P(preemption_by_signal, leaves_the_state_of_the_processor_alone) {
  run([&] {
    others_go_on_beside(GetParam(), [](const std::atomic<bool>& stop) {
      std::uint64_t a = 1;
      std::uint64_t b = 2;
      double x = 1.5;
      double y = 2.5;
      errno = 77;
      while (!stop.load(std::memory_order_relaxed)) {
        for (int i = 0; i < 64; ++i) {
          a = a * 3 + b;
          b = b * 5 + a;
          x = x * 0.5 + y * 0.25;
          y = y * 0.5 + x * 0.25 + 1.0;
        }
        leave_the_sanitizer();
        std::uint64_t inverse = b - a;  // undo the last step, and do it again
        b = inverse + a;
        ASSERT_FALSE(x != x || y != y);
      }
      EXPECT_EQ(errno, 77);
    });
  });
}

TEST_P(preemption_by_signal, of_ten_thousand_costs_a_bounded_number_of_threads) {
  run([&] {
#if defined(__SANITIZE_THREAD__)
    const int count = 300;  // each has a place in the clocks that the sanitizer copies with every lock
#else
    const int count = rt_test::scaled(10'000);
#endif
    std::atomic<bool> stop{false};
    std::atomic<int> ended{0};
    rt::wait_group group;
    for (int i = 0; i < count; ++i) {
      group.go([&] {
        compute_until(stop);
        ++ended;
      });
    }
    std::atomic<int> ticks{0};
    rt::wait_group light;
    light.go([&] {
      for (; ticks < 40; ++ticks) rt::sleep_for(1ms);
    });
    light.wait();
    rt::runtime_stats stats = rt::read_stats();
    EXPECT_LE(stats.threads, 2 * 128 + 2 * GetParam() + 8);
    EXPECT_GE(stats.green_threads, static_cast<std::uint64_t>(count));
    stop = true;
    group.wait();
    EXPECT_EQ(ended, count);
  });
}

TEST_P(preemption_by_signal, shows_in_a_dump) {
  run([&] {
    std::atomic<bool> stop{false};
    rt::wait_group group;
    for (int i = 0; i < 2 * GetParam() + 1; ++i) group.go([&] { compute_until(stop); });
    EXPECT_TRUE(rt_test::eventually([] {
      rt::runtime_stats stats = rt::read_stats();
      return stats.threads_frozen > 0;
    }));
    bool seen = rt_test::eventually([] {
      for (const rt::green_thread_info& one : rt::all_green_threads()) {
        if (one.state == "runnable" && one.frames.size() > 1) return true;
      }
      return false;
    });
    EXPECT_TRUE(seen) << "a frozen green thread is shown with its stack";
    stop = true;
    group.wait();
  });
}

RT_ON_PROCS(stopping_the_world);

TEST_P(stopping_the_world, does_not_wait_for_loops_without_calls) {
  run([&] {
    std::atomic<bool> stop{false};
    std::atomic<int> begun{0};
    rt::wait_group group;
    for (int i = 0; i < GetParam() + 1; ++i) {
      group.go([&] {
        ++begun;
        compute_until(stop);
      });
    }
    EXPECT_TRUE(rt_test::eventually([&] { return begun > GetParam(); }));
    for (int procs : {3, 1, 2, GetParam()}) {
      rt::max_procs(procs);
      EXPECT_EQ(rt::max_procs(), procs);
    }
    stop = true;
    group.wait();
  });
}

TEST_P(stopping_the_world, does_not_wait_for_calls_of_the_kernel) {
  run([&] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    rt::wait_group group;
    for (int i = 0; i < GetParam(); ++i) {
      group.go([&] {
        char byte;
        EXPECT_EQ(read(ends[0], &byte, 1), 1);
      });
    }
    EXPECT_TRUE(rt_test::eventually([&] { return rt::read_stats().blocking >= static_cast<unsigned>(GetParam()); }));
    for (int procs : {3, 1, GetParam()}) rt::max_procs(procs);
    for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(write(ends[1], "x", 1), 1);
    group.wait();
    close(ends[0]);
    close(ends[1]);
  });
}

RT_ON_PROCS(unannounced_blocking);

// Each of one more than there are Ps loses its P in its call.
template <class Call>
void others_go_on_while(int procs, const Call& call, const std::function<void()>& end_calls) {
  rt::wait_group group;
  for (int i = 0; i < procs + 1; ++i) group.go([&] { call(); });
  EXPECT_TRUE(rt_test::eventually([&] { return rt::read_stats().blocking >= static_cast<unsigned>(procs) + 1; }));
  for (int i = 0; i < 5; ++i) rt::sleep_for(1ms);
  end_calls();
  group.wait();
  EXPECT_GT(rt::read_stats().retakes_total, 0U);
}

TEST_P(unannounced_blocking, reading_a_pipe) {
  run([&] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    others_go_on_while(
        GetParam(),
        [&] {
          char byte;
          EXPECT_EQ(read(ends[0], &byte, 1), 1);
        },
        [&] {
          for (int i = 0; i < GetParam() + 1; ++i) EXPECT_EQ(write(ends[1], "x", 1), 1);
        });
    close(ends[0]);
    close(ends[1]);
  });
}

TEST_P(unannounced_blocking, sleeping_is_not_cut_short) {
  run([&] {
    std::atomic<int> cut{0};
    std::atomic<int> begun{0};
    rt::wait_group group;
    const std::uint64_t before = rt::read_stats().retakes_total;
    for (int i = 0; i < GetParam() + 1; ++i) {
      group.go([&] {
        const std::int64_t cpu_before = rt::os::thread_cpu_time();
        ++begun;
        // A sleep is long enough for one P to be taken, while others wait for it; on a busy machine that takes longer.
        long length = 100'000'000;
        do {
          timespec left{0, length};
          const bool ended_early = nanosleep(&left, nullptr) != 0;
          // It may have lost its P before it came to its sleep, while it waited for a CPU. One that then computes for
          // 200 us (stray_after in retake.cpp), as it may where code is slow, is sent a signal by right. Half of that
          // is left for what goes before the first look at the clock.
          if (ended_early && rt::os::thread_cpu_time() - cpu_before < 100'000) ++cut;
          length *= 2;
        } while (rt::read_stats().retakes_total == before && length < 1'000'000'000);
      });
    }
    group.wait();
    EXPECT_EQ(begun, GetParam() + 1);
    EXPECT_GT(rt::read_stats().retakes_total, before);
    EXPECT_EQ(cut, 0) << "a signal ended the sleep";
  });
}

TEST_P(unannounced_blocking, waiting_for_a_file_lock) {
  run([&] {
    std::string path = "/tmp/rt_flock_" + std::to_string(getpid());
    int holder = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ASSERT_GE(holder, 0);
    ASSERT_EQ(flock(holder, LOCK_EX), 0);
    others_go_on_while(
        GetParam(),
        [&] {
          int mine = open(path.c_str(), O_RDWR | O_CLOEXEC);
          EXPECT_EQ(flock(mine, LOCK_EX), 0);
          close(mine);
        },
        [&] { flock(holder, LOCK_UN); });
    close(holder);
    unlink(path.c_str());
  });
}

// After the call it computes on: it must not have a CPU beside those of the Ps for ever.
TEST_P(unannounced_blocking, whoever_comes_back_queues_up) {
  run([&] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const auto count = static_cast<std::size_t>(GetParam()) + 1;
    std::atomic<bool> stop{false};
    rt::wait_group group;
    for (std::size_t i = 0; i < count; ++i) {
      group.go([&] {
        char byte;
        EXPECT_EQ(read(ends[0], &byte, 1), 1);
        compute_until(stop);
      });
    }
    EXPECT_TRUE(rt_test::eventually([&] { return rt::read_stats().blocking >= count; }));
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(write(ends[1], "x", 1), 1);
    // All of them compute on Ps, or wait for one: this one has a P itself, so there are two more of them than Ps.
    EXPECT_TRUE(rt_test::eventually([&] {
      rt::runtime_stats stats = rt::read_stats();
      return stats.blocking == 0 && stats.threads_frozen > 1;
    }));
    stop = true;
    group.wait();
    close(ends[0]);
    close(ends[1]);
  });
}

// Nor does it compute without a P while one is idle.
TEST_P(unannounced_blocking, whoever_comes_back_gets_an_idle_processor) {
  run([&] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    std::atomic<bool> stop{false};
    rt::wait_group group;
    group.go([&] {
      char byte;
      EXPECT_EQ(read(ends[0], &byte, 1), 1);
      compute_until(stop);
    });
    EXPECT_TRUE(rt_test::eventually([&] { return rt::read_stats().blocking == 1; }));
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    EXPECT_TRUE(rt_test::eventually([&] { return rt::read_stats().blocking == 0; }));
    if (GetParam() > 1) {
      // Two Ps are busy: that of this one, and that of the other one. Not taken for asleep again meanwhile.
      EXPECT_TRUE(rt_test::eventually([&] {
        rt::runtime_stats stats = rt::read_stats();
        return stats.blocking == 0 && stats.idle_procs <= GetParam() - 2;
      }));
    }
    stop = true;
    group.wait();
    close(ends[0]);
    close(ends[1]);
  });
}

RT_ON_PROCS(locked_to_a_thread);

TEST_P(locked_to_a_thread, stays_on_it_and_alone) {
  run([&] {
    std::atomic<bool> stop{false};
    std::atomic<pid_t> reserved{0};
    std::atomic<long> others{0};
    rt::wait_group group;
    group.go([&] {
      rt::lock_os_thread();
      rt::lock_os_thread();
      pid_t mine = gettid();
      reserved = mine;
      // Until the others have begun, too: whoever starts them may be off its CPU for long.
      for (int i = 0; i < 100 || others == 0; ++i) {
        rt::yield();
        EXPECT_EQ(gettid(), mine);
        rt::sleep_for(100us);
        EXPECT_EQ(gettid(), mine);
        rt::blocking([&] { EXPECT_EQ(gettid(), mine); });
        EXPECT_EQ(gettid(), mine);
        if (i == 50) rt::unlock_os_thread();  // once of two
      }
      reserved = 0;
      rt::unlock_os_thread();
      rt::unlock_os_thread();  // one too many does nothing
      stop = true;
    });
    for (int i = 0; i < 4; ++i) {
      group.go([&] {
        while (!stop) {
          pid_t taken = reserved;
          if (taken != 0 && taken == gettid() && reserved == taken) ADD_FAILURE() << "on the thread of another";
          ++others;
          rt::yield();
        }
      });
    }
    group.wait();
    EXPECT_GT(others, 0);
  });
}

TEST_P(locked_to_a_thread, two_hand_a_channel_back_and_forth) {
  run([&] {
    rt::chan<int> ping;
    rt::chan<int> pong;
    rt::wait_group group;
    group.go([=] {
      rt::lock_os_thread();
      for (int value : ping) pong.send(value + 1);
    });
    rt::lock_os_thread();
    int value = 0;
    for (int i = 0; i < rt_test::scaled(2000); ++i) {
      ping.send(value);
      value = *pong.recv();
    }
    rt::unlock_os_thread();
    EXPECT_EQ(value, rt_test::scaled(2000));
    ping.close();
    group.wait();
  });
}

TEST_P(locked_to_a_thread, is_preempted_like_others) {
  run([&] {
    others_go_on_beside(GetParam(), [](const std::atomic<bool>& stop) {
      rt::lock_os_thread();
      pid_t mine = gettid();
      compute_until(stop);
      EXPECT_EQ(gettid(), mine);
    });
  });
}

TEST_P(locked_to_a_thread, the_thread_ends_with_it) {
  run([&] {
    pid_t gone = 0;
    rt::wait_group group;
    group.go([&] {
      rt::lock_os_thread();
      gone = gettid();
    });
    group.wait();
    EXPECT_TRUE(rt_test::eventually([&] { return tgkill(getpid(), gone, 0) != 0; }));
  });
}

TEST(threads, beyond_the_limit_are_refused_and_nothing_is_lost) {
  rt::run_options options;
  options.max_procs = 2;
  options.max_threads = 4;
  rt::run(
      [] {
        std::atomic<int> done{0};
        const auto until = std::chrono::steady_clock::now() + 30s;
        rt::wait_group group;
        for (int i = 0; i < 12; ++i) {
          group.go([&] {
            rt::blocking([&] {
              // Until one was refused, however long it takes to make those that are allowed.
              do usleep(20'000);
              while (rt::read_stats().threads_refused_total == 0 && std::chrono::steady_clock::now() < until);
            });
            ++done;
          });
        }
        group.wait();
        EXPECT_EQ(done, 12);
        rt::runtime_stats stats = rt::read_stats();
        EXPECT_LE(stats.threads, 4);
        EXPECT_GT(stats.threads_refused_total, 0U);
        return 0;
      },
      options);
  options.max_threads = 0;
  EXPECT_THROW(rt::run([] { return 0; }, options), std::invalid_argument);
}

TEST(threads, end_after_a_spike) {
  rt_test::in_runtime(2, [] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    std::atomic<int> inside{0};
    rt::wait_group group;
    for (int i = 0; i < 30; ++i) {
      group.go([&] {
        rt::blocking([&] {
          ++inside;
          char byte;
          EXPECT_EQ(read(ends[0], &byte, 1), 1);
        });
      });
    }
    EXPECT_TRUE(rt_test::eventually([&] { return inside == 30; }));
    EXPECT_GE(rt::read_stats().threads, 30);
    for (int i = 0; i < 30; ++i) EXPECT_EQ(write(ends[1], "x", 1), 1);
    group.wait();
    close(ends[0]);
    close(ends[1]);
    EXPECT_TRUE(rt_test::eventually([] {
      rt::sleep_for(200ms);
      rt::runtime_stats stats = rt::read_stats();
      return stats.threads <= 4 && stats.threads_ended_total >= 26;
    }));
  });
}

}  // namespace
