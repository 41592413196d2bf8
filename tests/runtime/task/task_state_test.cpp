// Tasks on the real scheduler: their phases, failures, stops, log and status.
#include "runtime/task/task_state.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"

namespace {

using rt::detail::log_line;
using rt::detail::log_queue;
using rt::detail::task_phase;
using rt::detail::task_state;
using namespace std::chrono_literals;

// A task with what it reported.
struct observed_task {
  explicit observed_task(void (*function)(rt::task&), std::size_t stack_size = 0) {
    rt::detail::task_spec spec;
    spec.id = "observed";
    spec.plugin = "test";
    spec.entry = "entry";
    spec.function = function;
    spec.stack_size = stack_size;
    log->set_level(rt::log_level::debug);
    state = std::make_unique<task_state>(std::move(spec), log,
                                         [this](task_state&, task_phase phase, const std::string& error) {
                                           std::lock_guard guard(lock);
                                           phases.push_back(phase);
                                           if (is_final(phase)) last_error = error;
                                         });
  }

  task_phase wait_for_end() const {
    while (!is_final(state->phase())) rt::sleep_for(100us);
    return state->phase();
  }
  task_phase wait_for(task_phase wanted) const {
    while (state->phase() < wanted) rt::sleep_for(100us);
    return state->phase();
  }
  std::vector<task_phase> reported() {
    while (state->green_threads() != 0) rt::sleep_for(100us);  // the report comes just after the phase
    std::lock_guard guard(lock);
    return phases;
  }
  std::vector<std::string> lines() const {
    std::vector<log_line> taken;
    log->take(taken);
    std::vector<std::string> texts;
    for (const log_line& line : taken) texts.push_back(line.message);
    return texts;
  }
  std::string error() {
    reported();
    std::lock_guard guard(lock);
    return last_error;
  }

  std::shared_ptr<log_queue> log = std::make_shared<log_queue>(100'000);
  std::mutex lock;
  std::vector<task_phase> phases;
  std::string last_error;
  std::unique_ptr<task_state> state;
};

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
    observed_task busy([](rt::task&) {
      auto until = rt::now() + 50ms;
      while (rt::now() < until) rt::checkpoint();
    });
    observed_task lazy([](rt::task&) { rt::sleep_for(50ms); });
    busy.state->start();
    lazy.state->start();
    busy.wait_for_end();
    lazy.wait_for_end();
    busy.reported();
    lazy.reported();
    EXPECT_GT(busy.state->cpu_seconds(), 0.01);
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
