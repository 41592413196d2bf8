// A task's root context, its values, and what misuse does to it.
#include <gtest/gtest.h>

#include <atomic>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/task/observed_task.h"

namespace {

using rt::detail::task_phase;
using rt_test::observed_task;
using namespace std::chrono_literals;
RT_ON_PROCS(task_contexts);

TEST_P(task_contexts, stop_ends_the_root_context_and_waits_throw_cancelled) {
  run([] {
    static std::atomic<int> cancelled;
    static std::atomic<int> context_errors;
    static std::atomic<bool> begun;
    static rt::context root;
    cancelled = context_errors = 0;
    begun = false;
    observed_task task([](rt::task& self) {
      root = self.context();
      EXPECT_EQ(root.core(), rt::current_context().core());
      rt::cancellable_context work = rt::with_timeout(root, 1h);
      rt::wait_group all;
      for (int i = 0; i < 10; ++i) {
        all.go([work] {
          try {
            rt::chan<int>().recv(work);
          } catch (const rt::cancelled&) {
            ++cancelled;
            throw;
          } catch (const rt::context_error&) {
            ++context_errors;
          }
        });
      }
      begun = true;
      rt::cancellation_shield shield;
      all.wait();
      EXPECT_TRUE(work.ended());
    });
    task.state->start();
    EXPECT_TRUE(rt_test::eventually([] { return begun.load(); }));
    EXPECT_FALSE(root.ended());
    task.state->stop();
    EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
    EXPECT_TRUE(root.ended());
    EXPECT_EQ(root.error(), std::errc::operation_canceled);
    EXPECT_EQ(cancelled.load(), 10);
    EXPECT_EQ(context_errors.load(), 0);
    task.reported();
    root = rt::context();
  });
}

TEST_P(task_contexts, the_root_context_ends_with_the_entry_and_outlives_the_task) {
  run([] {
    static rt::context root;
    static std::atomic<int> cleaned;
    cleaned = 0;
    {
      observed_task task([](rt::task& self) {
        root = self.context();
        rt::after_func(root, [] { ++cleaned; });
      });
      task.state->start();
      EXPECT_EQ(task.wait_for_end(), task_phase::completed);
      EXPECT_EQ(cleaned.load(), 1) << "what is to run after the end of the task's context has run";
      task.reported();
    }
    EXPECT_TRUE(root.ended());
    rt::cancellable_context late = rt::with_cancel(root);
    EXPECT_TRUE(late.ended());
    root = rt::context();
  });
}

// The first context may be asked for while the task is being stopped.
TEST_P(task_contexts, stop_against_the_first_context) {
  run([] {
    for (int round = 0; round < rt_test::scaled(500); ++round) {
      static std::atomic<bool> begun;
      begun = false;
      observed_task task([](rt::task& self) {
        begun = true;
        rt::cancellation_shield shield;
        self.context().done().recv();
      });
      task.state->start();
      while (!begun && !is_final(task.state->phase())) rt::yield();
      task.state->stop();
      EXPECT_EQ(task.wait_for_end(), task_phase::cancelled);
      task.reported();
    }
  });
}

TEST_P(task_contexts, an_after_func_of_another_context_ends_with_the_task) {
  run([] {
    static std::atomic<int> ran;
    static rt::cancellable_context other;
    ran = 0;
    other = rt::with_cancel(rt::background());
    observed_task task([](rt::task&) {
      rt::after_func(other, [] { ++ran; });
      rt::sleep_for(1ms);
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
    task.reported();
    other.cancel();
    EXPECT_EQ(ran.load(), 0);
    other = rt::cancellable_context();
  });
}

TEST_P(task_contexts, an_uncaught_context_error_fails_the_task) {
  run([] {
    observed_task task([](rt::task& self) { rt::chan<int>().recv(rt::with_timeout(self.context(), 1ms)); });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::failed);
    EXPECT_NE(task.error().find("the deadline of the context has passed"), std::string::npos) << task.error();
  });
}

TEST_P(task_contexts, misuse_fails_the_task_with_its_own_error) {
  run([] {
    observed_task task([](rt::task&) {
      rt::go([] {
        rt::mutex mutex;
        mutex.unlock();
      });
      rt::sleep_for(1h);
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::failed);
    EXPECT_EQ(task.error(), "rt::usage_error: rt::mutex::unlock: the mutex is not locked; unlock once for each lock");

    observed_task other([](rt::task&) {
      rt::chan<int> channel(1);
      channel.close();
      channel.send(1);
    });
    other.state->start();
    EXPECT_EQ(other.wait_for_end(), task_phase::failed);
    EXPECT_EQ(other.error(),
              "rt::channel_closed: rt::chan::send: the channel is closed; close it when all senders are done");
  });
}

// Both kinds of values are gone when the end of the task is reported.
TEST_P(task_contexts, values_are_destroyed_before_the_end_is_reported) {
  run([] {
    static std::atomic<int> alive;
    static std::atomic<int> started_late;
    alive = started_late = 0;
    struct counted {
      counted() { ++alive; }
      counted(const counted&) = delete;
      counted& operator=(const counted&) = delete;
      ~counted() {
        rt::sleep_for(1ms);
        rt::go([] { ++started_late; });
        --alive;
      }
    };
    static rt::task_local<counted> of_the_task;
    static rt::local<counted> of_a_thread;
    observed_task task([](rt::task&) {
      of_the_task.get();
      of_a_thread.get();
      rt::go([] {
        of_a_thread.get();
        rt::sleep_for(1h);
      });
      rt::sleep_for(1ms);
    });
    task.state->start();
    EXPECT_EQ(task.wait_for_end(), task_phase::completed);
    EXPECT_EQ(alive.load(), 0);
    EXPECT_GE(started_late.load(), 2);
    EXPECT_EQ(of_the_task.find(), nullptr);
  });
}

}  // namespace
