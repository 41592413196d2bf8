#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/waiting.h"

namespace {

using namespace std::chrono_literals;
RT_ON_PROCS(stats);

TEST_P(stats, count_what_happens) {
  run([] {
    rt::runtime_stats before = rt::read_stats();
    rt::chan<int> never;
    rt::scope scope;
    for (int i = 0; i < 100; ++i) scope.go([&] { never.recv(); });
    for (int i = 0; i < 10; ++i) scope.go([] { rt::sleep_for(1h); });
    rt::runtime_stats now = rt::read_stats();
    for (auto until = rt::now() + 30s; (now.waiting < 110 || now.timers < 10) && rt::now() < until;) {
      rt::sleep_for(1ms);
      now = rt::read_stats();
    }
    EXPECT_EQ(now.procs, GetParam());
    EXPECT_EQ(now.green_threads, before.green_threads + 110);
    EXPECT_EQ(now.created_total, before.created_total + 110);
    EXPECT_EQ(now.green_threads, now.runnable + now.running + now.waiting + now.blocking);
    EXPECT_GE(now.waiting, 110U);
    EXPECT_GE(now.timers, 10U);
    EXPECT_GT(now.switches_total, before.switches_total + 109);
    EXPECT_EQ(now.local_queue_lengths.size(), static_cast<std::size_t>(GetParam()));
    EXPECT_EQ(now.busy_seconds_total.size(), static_cast<std::size_t>(GetParam()));
    EXPECT_EQ(now.run_queue_wait_buckets.size(), rt::sched_duration_bounds().size() + 1);
    EXPECT_GE(now.stacks_in_use, 111U);
    EXPECT_GE(now.stack_in_use_bytes, 111U * 64 * 1024);
    EXPECT_GE(now.stack_reserved_bytes, now.stack_in_use_bytes);
    EXPECT_GE(now.threads, 1);
    scope.cancel();
    scope.wait();
    // The last one leaves its scope a moment before it is counted out.
    for (auto until = rt::now() + 30s; rt::num_green_threads() != before.green_threads && rt::now() < until;)
      rt::yield();
    EXPECT_EQ(rt::read_stats().green_threads, before.green_threads);
    EXPECT_EQ(rt::num_green_threads(), before.green_threads);
  });
}

TEST_P(stats, the_dump_shows_each_with_its_state_and_frames) {
  run([] {
    rt::chan<int> never;
    rt::scope scope;
    scope.go({.stack_size = 0, .name = "reader"}, [&] { never.recv(); });
    scope.go({.stack_size = 0, .name = "sleeper"}, [] { rt::sleep_for(1h); });
    // Not until `waiting` of read_stats says two: it is what is left when the others were counted, without a stop, and
    // so has one too many while a green thread is on its way between two queues.
    EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
    EXPECT_TRUE(rt_test::come_to_wait_in("sleep"));
    bool reader = false;
    bool sleeper = false;
    bool self = false;
    for (const rt::green_thread_info& one : rt::all_green_threads()) {
      if (one.name == "reader") {
        reader = true;
        EXPECT_EQ(one.state, "chan receive");
        EXPECT_GE(one.frames.size(), 3U);
      }
      if (one.name == "sleeper") {
        sleeper = true;
        EXPECT_EQ(one.state, "sleep");
      }
      if (one.id == rt::green_thread_id()) {
        self = true;
        EXPECT_EQ(one.state, "running");
      }
    }
    EXPECT_TRUE(reader && sleeper && self);
    std::string text = rt::all_stacks();
    EXPECT_NE(text.find("[chan receive] {name: reader}:\n"), std::string::npos) << text;
    EXPECT_NE(text.find("rt::detail::chan_"), std::string::npos) << text;  // chan_recv, or what it ends in
    EXPECT_EQ(rt::all_green_threads(1).size(), 1U);
    EXPECT_NE(rt::stack_trace().find("goroutine " + std::to_string(rt::green_thread_id()) + " [running]"),
              std::string::npos);
    scope.cancel();
    scope.wait();
  });
}

// The descriptors of the ended green threads lie on their stacks, and go with them.
TEST(stats, memory_of_a_spike_is_given_back_by_itself) {
  rt_test::in_runtime(2, [] {
    auto resident = [] {
      long total = 0;
      long pages = 0;
      std::FILE* file = std::fopen("/proc/self/statm", "re");
      if (file == nullptr || std::fscanf(file, "%ld %ld", &total, &pages) != 2) ADD_FAILURE() << "no /proc/self/statm";
      if (file != nullptr) std::fclose(file);
      return pages;
    };
    constexpr int count = 3000;
    long at_most = 0;
    {
      rt::scope scope;
      rt::chan<int> gate;
      std::atomic<int> begun{0};
      for (int i = 0; i < count; ++i) {
        scope.go([&] {
          ++begun;
          gate.recv();
        });
      }
      EXPECT_TRUE(rt_test::eventually([&] { return begun == count; }));
      at_most = resident();
      gate.close();
      scope.wait();
    }
    // A page each, but for a few hundred that stay with the Ps for the next ones.
    EXPECT_TRUE(rt_test::eventually([&] {
      rt::sleep_for(100ms);
      return resident() < at_most - count * 3 / 4;
    })) << resident()
        << " pages are resident of " << at_most;
  });
}

TEST_P(stats, memory_of_a_spike_can_be_given_back) {
  run([] {
    {
      rt::scope scope;
      rt::chan<int> gate;
      rt::wait_group begun;
      begun.add(2000);
      for (int i = 0; i < 2000; ++i) {
        scope.go([&] {
          begun.done();
          gate.recv();
        });
      }
      begun.wait();
      gate.close();
      scope.wait();
    }
    rt::released_memory released = rt::release_memory();
    EXPECT_GT(released.stack_bytes, 1000U * 4096) << "most of 2000 stacks were cached with a page each";
    rt::scope again;  // and they work afterwards
    std::atomic<int> ran{0};
    for (int i = 0; i < 2000; ++i) again.go([&] { ++ran; });
    again.wait();
    EXPECT_EQ(ran.load(), 2000);
  });
}

}  // namespace
