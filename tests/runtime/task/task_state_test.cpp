// Tasks on the real scheduler: their phases, failures, stops, log and status.
#include "runtime/task/task_state.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/task/observed_task.h"

namespace {

using rt::detail::task_phase;
using rt_test::observed_task;
using namespace std::chrono_literals;

RT_ON_PROCS(tasks);

using phases = std::vector<task_phase>;

TEST_P(tasks, complete) {
  run([] {
    observed_task task([](rt::task& self) {
      EXPECT_EQ(rt::this_task(), &self);
      EXPECT_EQ(self.name(), "observed");
      self.info("hello");
    });
    EXPECT_EQ(task.state->phase(), task_phase::starting);
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
    EXPECT_EQ(task.reported(), (phases{task_phase::running, task_phase::completed}));
    EXPECT_EQ(task.lines(), std::vector<std::string>{"hello"});
    EXPECT_EQ(task.state->green_threads(), 0u);
    EXPECT_EQ(rt::this_task(), nullptr);
  });
}

TEST_P(tasks, drained_they_finish_and_complete) {
  run([] {
    static std::atomic<bool> began;  // which is after `running` was reported
    began = false;
    observed_task task([](rt::task& self) {
      EXPECT_FALSE(self.draining());
      const rt::context drain = self.drain_context();
      EXPECT_FALSE(drain.ended());
      began = true;
      try {
        const rt::context_scope within(drain);
        rt::sleep_for(1h);
      } catch (const rt::context_error&) {
        self.info("asked");
      }
      EXPECT_TRUE(self.draining());
      EXPECT_FALSE(self.stopping());
      EXPECT_FALSE(self.context().ended());
      EXPECT_TRUE(self.drain_context().ended());
      rt::sleep_for(1ms);  // waits go on
      self.info("finished");
    });
    task.state->start();
    EXPECT_TRUE(rt_test::eventually([] { return began.load(); }));
    task.state->drain();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
    EXPECT_EQ(task.lines(), (std::vector<std::string>{"asked", "finished"}));
  });
}

TEST_P(tasks, a_drain_context_asked_for_late_has_ended) {
  run([] {
    observed_task task([](rt::task& self) {
      while (!self.draining()) rt::sleep_for(100us);
      EXPECT_TRUE(self.drain_context().ended());
    });
    task.state->start();
    task.wait_for(task_phase::running);
    task.state->drain();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
  });
}

TEST_P(tasks, an_exception_of_one_that_drains_is_no_failure) {
  run([] {
    observed_task task([](rt::task& self) {
      const rt::context_scope within(self.drain_context());
      rt::sleep_for(1h);
    });
    task.state->start();
    task.wait_for(task_phase::running);
    task.state->drain();
    EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
  });
}

TEST_P(tasks, the_context_ends_before_they_unwind) {
  run([] {
    static std::atomic<bool> has_looked;
    has_looked = false;
    observed_task task([](rt::task& self) {
      rt::chan<int> left(1);
      rt::go([&self, left]() mutable {
        try {
          const rt::context_scope within(self.context());
          rt::sleep_for(1h);
        } catch (const rt::context_error&) {
          left.send(1);
        }
      });
      EXPECT_EQ(left.recv(), 1);  // not touched by the end of the context
      EXPECT_TRUE(self.context().ended());
      EXPECT_TRUE(self.draining());
      EXPECT_FALSE(self.stopping());
      has_looked = true;
      rt::sleep_for(1h);
    });
    task.state->start();
    task.wait_for(task_phase::running);
    task.state->cancel_context();
    task.state->cancel_context();
    EXPECT_TRUE(rt_test::eventually([] { return has_looked.load(); }));
    EXPECT_EQ(task.state->phase(), task_phase::running);
    task.state->stop();
    EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
  });
}

TEST_P(tasks, a_context_cancelled_before_it_was_asked_for_has_ended) {
  run([] {
    observed_task task([](rt::task& self) {
      while (!self.draining()) rt::sleep_for(100us);
      while (!self.context().ended()) rt::sleep_for(100us);
      EXPECT_FALSE(self.stopping());
    });
    task.state->start();
    task.wait_for(task_phase::running);
    task.state->cancel_context();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
  });
}

TEST_P(tasks, fail_by_the_entry) {
  run([] {
    observed_task task([](rt::task&) { throw std::runtime_error("it broke"); });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::failed);
    EXPECT_EQ(task.error(), "std::runtime_error: it broke");
    EXPECT_EQ(task.reported(), (phases{task_phase::running, task_phase::failed}));
  });
}

TEST_P(tasks, fail_by_any_green_thread_and_the_others_are_cancelled) {
  run([] {
    observed_task task([](rt::task& self) {
      rt::go([&self] {
        EXPECT_EQ(rt::this_task(), &self);
        rt::go([] { throw std::logic_error("a grandchild broke"); });
        rt::sleep_for(1h);
      });
      rt::sleep_for(1h);
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::failed);
    EXPECT_EQ(task.error(), "std::logic_error: a grandchild broke");
  });
}

TEST_P(tasks, report_the_first_of_several_failures) {
  run([] {
    observed_task task([](rt::task&) {
      for (int i = 0; i < 100; ++i) rt::go([] { throw std::runtime_error("one of many"); });
      rt::sleep_for(1h);
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::failed);
    EXPECT_EQ(task.error(), "std::runtime_error: one of many");
    std::vector<std::string> lines = task.lines();
    ASSERT_EQ(lines.size(), 99u);
    EXPECT_EQ(lines[0], "another green thread of the failed task ended by std::runtime_error: one of many");
  });
}

TEST_P(tasks, a_failure_after_the_entry_returned_still_counts) {
  run([] {
    observed_task task([](rt::task&) {
      rt::go([] {
        rt::cancellation_shield shield;
        rt::sleep_for(5ms);
        throw std::runtime_error("could not flush");
      });
      rt::sleep_for(1ms);
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::failed);
    EXPECT_EQ(task.error(), "std::runtime_error: could not flush");
  });
}

TEST_P(tasks, cancel_what_is_left_when_the_entry_returns) {
  run([] {
    static std::atomic<int> cancelled;
    cancelled = 0;
    observed_task task([](rt::task&) {
      for (int i = 0; i < 50; ++i) {
        rt::go([] {
          try {
            rt::sleep_for(1h);
          } catch (const rt::cancelled&) {
            ++cancelled;
            throw;
          }
        });
      }
      while (rt::this_task() != nullptr && rt::num_green_threads() < 50) rt::yield();
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
    task.reported();
    // Those that had not begun to sleep when the cancellation came are cancelled as they begin.
    EXPECT_EQ(cancelled, 50);
  });
}

TEST_P(tasks, stop) {
  run([] {
    static std::atomic<bool> began;  // which is after `running` was reported
    began = false;
    observed_task task([](rt::task& self) {
      EXPECT_FALSE(self.stopping());
      began = true;
      try {
        rt::sleep_for(1h);
      } catch (const rt::cancelled&) {
        EXPECT_TRUE(self.stopping());
        throw;
      }
    });
    task.state->start();
    task.wait_for(task_phase::running);
    EXPECT_TRUE(rt_test::eventually([] { return began.load(); }));
    task.state->stop();
    task.state->stop();
    EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
    EXPECT_EQ(task.error(), "");
    task.state->stop();
  });
}

TEST_P(tasks, stop_before_the_entry_is_called) {
  run([] {
    observed_task task([](rt::task&) { FAIL() << "the entry was called"; });
    task.state->stop();
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
    EXPECT_EQ(task.reported(), phases{task_phase::cancelled});
  });
}

TEST_P(tasks, stopped_and_then_thrown_is_cancelled_with_the_text) {
  run([] {
    observed_task task([](rt::task&) {
      try {
        rt::sleep_for(1h);
      } catch (const rt::cancelled&) {
        throw std::runtime_error("interrupted");
      }
    });
    task.state->start();
    task.wait_for(task_phase::running);
    task.state->stop();
    EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
    EXPECT_EQ(task.error(), "std::runtime_error: interrupted");
  });
}

TEST_P(tasks, stay_draining_as_long_as_a_green_thread_is_left) {
  run([] {
    static std::atomic<bool> let_go;
    let_go = false;
    observed_task task([](rt::task&) {
      rt::go([] {
        rt::cancellation_shield shield;
        while (!let_go) rt::sleep_for(100us);
      });
      rt::sleep_for(1ms);
    });
    task.state->start();
    task.wait_for(task_phase::draining);
    rt::sleep_for(20ms);
    EXPECT_EQ(task.state->phase(), task_phase::draining);
    EXPECT_EQ(task.state->green_threads(), 2u);
    let_go = true;
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
  });
}

TEST_P(tasks, count_their_processor_time) {
  run([] {
    // Computes for 50 ms of its threads' CPU time, however long the kernel lets it wait for that.
    static std::atomic<std::int64_t> used;
    used = 0;
    observed_task busy([](rt::task&) {
      auto cpu_time = [] {
        timespec now;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
      };
      while (used < 50'000'000) {
        std::int64_t before = cpu_time();  // no call of the runtime in between, so it is the same thread
        for (int i = 0; i < 10'000; ++i) asm volatile("" ::: "memory");
        used += cpu_time() - before;
        rt::checkpoint();
      }
    });
    observed_task lazy([](rt::task&) { rt::sleep_for(50ms); });
    busy.state->start();
    lazy.state->start();
    busy.wait_for_end();
    lazy.wait_for_end();
    busy.reported();
    lazy.reported();
    // What the kernel gave to others is charged first and deducted later, once a millisecond, from whichever task of
    // the P runs then. The lazy one and this green thread run for microseconds, so no more than their parts without a
    // CPU can be deducted from the busy one beside its own; what is missing is far less than a tenth.
    EXPECT_GT(busy.state->cpu_seconds(), 0.9e-9 * static_cast<double>(used));
    EXPECT_LT(lazy.state->cpu_seconds(), 0.02);
  });
}

TEST_P(tasks, give_their_stack_size_to_all_their_green_threads) {
  run([] {
    observed_task task(
        [](rt::task&) {
          auto deep = [] {
            volatile char large[700 * 1024];
            large[0] = 1;
            large[sizeof large - 1] = large[0];
          };
          deep();
          rt::wait_group done;
          done.go(deep);
          done.wait();
        },
        1 << 20);
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
  });
}

TEST_P(tasks, come_and_go_in_great_number) {
  run([] {
    static std::atomic<int> ran;
    ran = 0;
    int rounds = rt_test::scaled(300);
    for (int round = 0; round < rounds; ++round) {
      observed_task task([](rt::task&) {
        for (int i = 0; i < 5; ++i) {
          rt::go([] {
            ++ran;
            rt::sleep_for(1h);
          });
        }
        rt::yield();
      });
      task.state->start();
      if (round % 2 == 0) task.state->stop();
      task.state.reset();  // waits for the last green thread
    }
    EXPECT_LE(ran, rounds * 5);
  });
}

TEST_P(tasks, log_and_status_are_cleaned) {
  run([] {
    observed_task task([](rt::task& self) {
      self.log(rt::log_level::warn, "a\nb");
      self.debug(std::string(20'000, 'y'));
      self.set_status("12 targets,\x1b 1 down");
      std::string at_work = "x";
      rt::sleep_for(1h);
    });
    task.state->start();
    while (task.state->status().empty()) rt::sleep_for(100us);
    EXPECT_EQ(task.state->status(), "12 targets,\\x1b 1 down");
    task.state->set_status(std::string(1000, 'z'));
    EXPECT_LE(task.state->status().size(), 200u);
    std::vector<std::string> lines = task.lines();
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0], "a\\nb");
    EXPECT_LE(lines[1].size(), 8192u);
    task.state->stop();
    task.wait_for_end();
  });
}

TEST(this_task, is_null_outside_of_tasks) {
  EXPECT_EQ(rt::this_task(), nullptr);
  rt_test::in_runtime(1, [] { EXPECT_EQ(rt::this_task(), nullptr); });
}

TEST(task_state, cannot_start_without_a_runtime) {
  observed_task task([](rt::task&) {});
  EXPECT_THROW(task.state->start(), std::system_error);
  EXPECT_EQ(task.state->phase(), task_phase::starting);
}

}  // namespace
