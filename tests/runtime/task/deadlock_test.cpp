// Tasks whose green threads wait for ever, and tasks that only look so.
//
// The main green thread belongs to no task and so may wake anybody: it waits in a channel, as that of a host does,
// until the last of the expected ends was told.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/task/task_state.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/thread_census.h"

namespace {

using rt::detail::log_queue;
using rt::detail::task_phase;
using rt::detail::task_state;
using namespace std::chrono_literals;

// Longer than two pictures, with some reserve; a late monitor can only make a wrong report go unseen.
constexpr auto long_enough = 4s;

// Each test has a plugin of its own: a task of it that has failed stands in the way of others for minutes.
std::string plugin_of_test(const char* which) {
  const testing::TestInfo& one = *testing::UnitTest::GetInstance()->current_test_info();
  return std::string(one.test_suite_name()) + one.name() + which;
}

struct observed_task {
  observed_task(const char* plugin, const char* id, void (*function)(rt::task&),
                rt::deadlock_policy policy = rt::deadlock_policy::fail) {
    rt::detail::task_spec spec;
    spec.id = id;
    spec.plugin = plugin_of_test(plugin);
    spec.entry = "entry";
    spec.function = function;
    spec.on_deadlock = policy;
    state = std::make_unique<task_state>(
        std::move(spec), log,
        [this](task_state&, task_phase phase, const std::string& text) {
          if (!is_final(phase)) return;
          error = text;
          ended.try_send(phase);
        },
        [this](task_state&, const std::string& what) {
          report = what;
          deadlocks.fetch_add(1);
          reported.try_send(1);
        });
    state->start();
  }
  // Waits in a channel: see above.
  task_phase end() { return *ended.recv(); }
  std::string lines() const {
    std::vector<rt::detail::log_line> taken;
    log->take(taken);
    std::string all;
    for (const auto& line : taken) all += line.message + "\n";
    return all;
  }

  std::shared_ptr<log_queue> log = std::make_shared<log_queue>(100'000);
  rt::chan<task_phase> ended{1};
  rt::chan<int> reported{1};
  std::atomic<int> deadlocks{0};
  std::string error;
  std::string report;
  std::unique_ptr<task_state> state;
};

void run_on(int procs, const std::function<void()>& body) {
  rt::run_options options;
  options.max_procs = procs;
  options.on_deadlock = rt::deadlock_policy::ignore;
  rt::run(
      [&] {
        body();
        return 0;
      },
      options);
}

class deadlocked_tasks : public testing::TestWithParam<int> {
 protected:
  void run(const std::function<void()>& body) { run_on(GetParam(), body); }
};
INSTANTIATE_TEST_SUITE_P(procs, deadlocked_tasks, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

void wait_in_every_way(rt::task&) {
  rt::chan<int> one;
  rt::mutex mutex;
  rt::wait_group group;
  group.add(1);
  mutex.lock();
  rt::scope scope;  // so that all of the above outlives those who wait for it
  scope.go({.stack_size = 0, .name = "receiver"}, [one] { one.recv(); });
  scope.go([one] { rt::select(rt::on_recv(one, [](std::optional<int>) {})); });
  scope.go([] { rt::chan<int>(nullptr).recv(); });
  scope.go([&] { std::lock_guard guard(mutex); });
  scope.go([&] { group.wait(); });
  scope.go([] {
    rt::mutex inner;
    rt::condition condition;
    std::unique_lock guard(inner);
    condition.wait(guard);
  });
  rt::go([one] { one.recv(); });
  scope.wait();
}

TEST_P(deadlocked_tasks, fail_with_their_stacks_while_others_work) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  run([] {
    static std::atomic<bool> over{false};
    over = false;
    observed_task busy("other", "busy", [](rt::task&) {
      while (!over) rt::sleep_for(1ms);
    });
    observed_task dead("test", "dead", &wait_in_every_way);
    EXPECT_EQ(dead.end(), task_phase::failed);
    EXPECT_EQ(dead.error, "deadlock: all 8 green threads of the task wait, and nothing is left that could wake one");
    EXPECT_EQ(dead.report, dead.error);
    std::string lines = dead.lines();
    for (const char* state : {"[chan receive", "[select", "[chan receive (nil chan)", "[sync.Mutex.Lock",
                              "[sync.WaitGroup.Wait", "[sync.Cond.Wait", "[scope wait", "name: receiver"}) {
      EXPECT_NE(lines.find(state), std::string::npos) << state << " in\n" << lines;
    }
    EXPECT_EQ(busy.deadlocks, 0);
    over = true;
    EXPECT_EQ(busy.end(), task_phase::completed);
  });
}

struct waits_at_its_end {
  waits_at_its_end(rt::chan<int> what, std::atomic<int>& count) : gate(std::move(what)), waiting(&count) {}
  waits_at_its_end(const waits_at_its_end&) = delete;
  waits_at_its_end& operator=(const waits_at_its_end&) = delete;
  ~waits_at_its_end() {
    ++*waiting;
    gate.recv();
  }
  rt::chan<int> gate;
  std::atomic<int>* waiting;
};

// One waits for objects to die, the other one in a destructor: neither is a green thread of the task's own.
TEST_P(deadlocked_tasks, are_not_hidden_by_housekeepers) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  run([] {
    static rt::chan<int> gate;
    static std::atomic<int> waiting;
    static rt::root<int> lives;
    gate = rt::chan<int>();
    waiting = 0;
    observed_task dead("test", "dead", [](rt::task&) {
      lives = rt::make<int>(1);
      rt::add_cleanup(lives.get(), [] {});
      while (waiting == 0) {
        for (int i = 0; i < 20; ++i) static_cast<void>(rt::make<waits_at_its_end>(gate, waiting));
        rt::gc();
        rt::yield();
      }
      rt::chan<int>(nullptr).recv();
    });
    EXPECT_EQ(dead.end(), task_phase::failed);
    EXPECT_EQ(dead.error, "deadlock: the task's green thread waits, and nothing is left that could wake it");
    EXPECT_GE(waiting, 1);  // when the task has ended, those that were not called are nobody's
    gate.close();
    lives = nullptr;
  });
}

TEST_P(deadlocked_tasks, of_one_plugin_fail_together) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  run([] {
    static rt::chan<int> shared;
    observed_task first("test", "first", [](rt::task&) { shared.recv(); });
    observed_task second("test", "second", [](rt::task&) { shared.recv(); });
    EXPECT_EQ(first.end(), task_phase::failed);
    EXPECT_EQ(second.end(), task_phase::failed);
  });
}

TEST(deadlocked_task, is_only_reported_when_its_policy_says_so) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  run_on(2, [] {
    static rt::chan<int> never;
    observed_task dead(
        "test", "dead", [](rt::task&) { never.recv(); }, rt::deadlock_policy::report);
    dead.reported.recv();
    EXPECT_EQ(dead.report, "deadlock: the task's green thread waits, and nothing is left that could wake it");
    EXPECT_NE(dead.lines().find("[chan receive"), std::string::npos);
    // Another task's coming and going brings further looks, but no second report.
    observed_task other("other", "other", [](rt::task&) { rt::sleep_for(long_enough); });
    EXPECT_EQ(other.end(), task_phase::completed);
    EXPECT_EQ(dead.deadlocks, 1);
    EXPECT_EQ(dead.state->phase(), task_phase::running);
    never.send(1);
    EXPECT_EQ(dead.end(), task_phase::completed);
  });
}

TEST(deadlocked_task, fails_again_after_its_restart) {
  RT_SKIP_UNLESS_THREADS_CAN_BE_COUNTED();
  run_on(2, [] {
    for (int i = 0; i < 2; ++i) {
      observed_task dead("test", "dead", [](rt::task&) { rt::chan<int>().recv(); });
      EXPECT_EQ(dead.end(), task_phase::failed);
    }
  });
}

// ---- what is no deadlock ----

TEST(no_deadlock, when_another_task_of_the_plugin_will_send) {
  run_on(2, [] {
    static rt::chan<int> shared;
    observed_task waits("test", "waits", [](rt::task&) { shared.recv(); });
    observed_task sends("test", "sends", [](rt::task&) {
      rt::sleep_for(long_enough);
      shared.send(1);
    });
    EXPECT_EQ(waits.end(), task_phase::completed) << waits.error;
    EXPECT_EQ(sends.end(), task_phase::completed);
  });
}

TEST(no_deadlock, when_the_task_that_will_send_waits_for_its_restart) {
  run_on(2, [] {
    static rt::chan<int> shared;
    observed_task waits("test", "waits", [](rt::task&) { shared.recv(); });
    {
      observed_task sends("test", "sends", [](rt::task&) { throw 1; });
      EXPECT_EQ(sends.end(), task_phase::failed);
    }
    observed_task delay("other", "delay", [](rt::task&) { rt::sleep_for(long_enough); });
    EXPECT_EQ(delay.end(), task_phase::completed);
    EXPECT_EQ(waits.state->phase(), task_phase::running);
    observed_task sends("test", "sends", [](rt::task&) { shared.send(1); });
    EXPECT_EQ(waits.end(), task_phase::completed) << waits.error;
    EXPECT_EQ(sends.end(), task_phase::completed);
  });
}

TEST(no_deadlock, when_a_foreign_thread_will_send) {
  run_on(2, [] {
    observed_task waits("test", "waits", [](rt::task&) {
      rt::chan<int> from_thread(1);
      std::jthread sender([from_thread] {
        std::this_thread::sleep_for(long_enough);
        while (!from_thread.try_send(1)) std::this_thread::yield();
      });
      from_thread.recv();
    });
    EXPECT_EQ(waits.end(), task_phase::completed) << waits.error;
  });
}

TEST(no_deadlock, when_a_timer_is_armed) {
  run_on(2, [] {
    observed_task timer("one", "timer", [](rt::task&) {
      rt::timer late(long_enough);
      late.channel().recv();
    });
    observed_task function("two", "function", [](rt::task&) {
      rt::chan<int> called;
      rt::timer late(long_enough, [called] { called.send(1); });
      called.recv();
    });
    EXPECT_EQ(timer.end(), task_phase::completed) << timer.error;
    EXPECT_EQ(function.end(), task_phase::completed) << function.error;
  });
}

// At each look the ticker is armed, or about to be armed again.
TEST(no_deadlock, when_a_ticker_is_armed) {
  run_on(2, [] {
    observed_task ticker("one", "ticker", [](rt::task&) {
      rt::ticker seconds(1s);
      for (int i = 0; i < 5; ++i) seconds.channel().recv();
    });
    EXPECT_EQ(ticker.end(), task_phase::completed) << ticker.error;
  });
}

TEST(no_deadlock, when_a_green_thread_sleeps_blocks_or_has_a_deadline) {
  run_on(2, [] {
    observed_task sleeps("one", "sleeps", [](rt::task&) {
      rt::chan<int> later;
      rt::go([later] {
        rt::sleep_for(long_enough);
        later.send(1);
      });
      later.recv();
    });
    observed_task blocks("two", "blocks", [](rt::task&) {
      rt::chan<int> later;
      rt::go([later] {
        rt::blocking([] { std::this_thread::sleep_for(long_enough); });
        later.send(1);
      });
      later.recv();
    });
    observed_task deadline("three", "deadline", [](rt::task&) {
      rt::chan<int> never;
      never.recv_for(long_enough);
    });
    EXPECT_EQ(sleeps.end(), task_phase::completed) << sleeps.error;
    EXPECT_EQ(blocks.end(), task_phase::completed) << blocks.error;
    EXPECT_EQ(deadline.end(), task_phase::completed) << deadline.error;
  });
}

TEST(no_deadlock, when_a_green_thread_waits_for_a_socket) {
  run_on(2, [] {
    static std::atomic<std::uint16_t> port{0};
    static rt::chan<int> listens{1};
    observed_task accepts("one", "accepts", [](rt::task&) {
      auto listener = rt::net::listen("tcp", "127.0.0.1:0");
      rt::chan<int> later;
      rt::go([&listener, later] {
        listener.accept();
        later.send(1);
      });
      std::string address = listener.address();
      port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
      listens.send(1);
      later.recv();
    });
    listens.recv();
    observed_task dials("two", "dials", [](rt::task&) {
      rt::sleep_for(long_enough);
      rt::net::dial("tcp", "127.0.0.1:" + std::to_string(port.load()));
    });
    EXPECT_EQ(accepts.end(), task_phase::completed) << accepts.error;
    EXPECT_EQ(dials.end(), task_phase::completed) << dials.error;
  });
}

TEST(no_deadlock, when_the_task_is_being_stopped) {
  run_on(2, [] {
    static rt::chan<int> later;
    static std::atomic<bool> began;  // a stop before that would be its end
    began = false;
    observed_task shielded("test", "shielded", [](rt::task&) {
      began = true;
      try {
        rt::sleep_for(1h);
      } catch (const rt::cancelled&) {
        rt::cancellation_shield shield;
        later.recv();
      }
    });
    observed_task stops("other", "stops", [](rt::task&) {
      while (!began) rt::sleep_for(1ms);
    });
    EXPECT_EQ(stops.end(), task_phase::completed);
    shielded.state->stop();
    observed_task delay("other", "delay", [](rt::task&) { rt::sleep_for(long_enough); });
    EXPECT_EQ(delay.end(), task_phase::completed);
    EXPECT_EQ(shielded.deadlocks, 0);
    later.send(1);
    EXPECT_EQ(shielded.end(), task_phase::cancelled);
  });
}

TEST(no_deadlock, when_the_policy_is_to_ignore_it) {
  run_on(2, [] {
    static rt::chan<int> later;
    observed_task ignored(
        "test", "ignored", [](rt::task&) { later.recv(); }, rt::deadlock_policy::ignore);
    observed_task delay("other", "delay", [](rt::task&) { rt::sleep_for(long_enough); });
    EXPECT_EQ(delay.end(), task_phase::completed);
    EXPECT_EQ(ignored.deadlocks, 0);
    later.send(1);
    EXPECT_EQ(ignored.end(), task_phase::completed);
  });
}

// Wake-ups that follow each other in every phase of a look: whoever is always about to be woken is never dead.
TEST(no_deadlock, while_two_green_threads_pass_a_value_at_the_pace_of_the_looks) {
  run_on(2, [] {
    observed_task passes("test", "passes", [](rt::task&) {
      rt::chan<int> there;
      rt::chan<int> back;
      rt::go([there, back] {
        for (int value : there) back.send(value);
      });
      rt::ticker pace(1s);
      for (int i = 0; i < 5; ++i) {
        pace.channel().recv();
        there.send(i);
        back.recv();
      }
      there.close();
    });
    EXPECT_EQ(passes.end(), task_phase::completed) << passes.error;
  });
}

}  // namespace
