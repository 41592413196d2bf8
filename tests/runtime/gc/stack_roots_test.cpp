// The steps by which stacks are scanned, one by one: who stands in the list of those that ran since, and that deep ones
// are seen whole.
#include "runtime/gc/stack_roots.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/frame_list.h"
#include "runtime/sched/scan_list.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/waiting.h"

namespace {

using rt::detail::green_thread;
using rt::detail::marker;
using rt::detail::ran_since_scan;
using rt::detail::scan_list;
using rt_test::node;

rt::detail::mark_pool& pool() {
  static rt::detail::mark_pool one;  // its memory is kept
  return one;
}

class scanned_stacks : public rt_test::on_procs {
 protected:
  void SetUp() override {
    if (rt_test::is_stressed()) GTEST_SKIP() << "gcstress collects at any time, beside the test's own marker";
  }
  // Marks as a cycle does up to its last stop, with no cycle of the collector in between; in which all that is found
  // alive or dead survives.
  template <class Body>
  void run_while_marking(const Body& body) {
    run([&] {
      const int before = rt::set_gc_percent(rt::gc_off);
      rt::gc();
      body();
      rt::set_gc_percent(before);
    });
  }
  static void begin() {
    rt_test::with_world_stopped([] {
      rt::detail::begin_mark();
      ran_since_scan.open();
    });
  }
  static void end() {
    rt_test::with_world_stopped([] {
      take_noted();
      ran_since_scan.close();
      rt_test::mark_all();
      rt::detail::end_mark();
    });
    rt_test::finish_sweep();
  }
  // How often each stands in the list.
  static std::map<green_thread*, int> take_noted() {
    std::map<green_thread*, int> noted;
    for (green_thread* one = ran_since_scan.take_all(); one != nullptr; one = scan_list::next(*one)) ++noted[one];
    return noted;
  }
  static void scan_all() {
    marker one(pool());
    rt::detail::scan_parked_stacks(one, 0, 1);
    one.flush();
  }
};
INSTANTIATE_TEST_SUITE_P(procs, scanned_stacks, testing::Values(1, 2, 8),
                         [](const testing::TestParamInfo<int>& one) { return std::to_string(one.param); });

TEST_P(scanned_stacks, whoever_ran_since_is_noted_once_and_nobody_else) {
  run_while_marking([] {
    constexpr std::size_t count = 8;
    std::vector<green_thread*> all(count);
    std::vector<rt::chan<int>> wakes;
    rt::chan<int> woken(count);
    for (std::size_t i = 0; i < count; ++i) wakes.emplace_back();
    rt::wait_group done;
    for (std::size_t i = 0; i < count; ++i) {
      done.go([&, i] {
        all[i] = rt::detail::current_green_thread();
        while (wakes[i].recv()) woken.send(0);
      });
    }
    auto all_wait = [] { return rt_test::come_to_wait_in("chan receive", count); };
    ASSERT_TRUE(all_wait());
    begin();
    scan_all();
    take_noted();
    // The first half runs several times, with scans in between; one of them ends.
    for (int round = 0; round < 5; ++round) {
      for (std::size_t i = 0; i < count / 2; ++i) {
        wakes[i].send(0);
        woken.recv();
      }
      if (!all_wait()) break;
      if (round % 2 == 0) {
        marker one(pool());
        rt::detail::scan_returned_stacks(one);
        one.flush();
      }
    }
    for (std::size_t i = 0; i < count / 2; ++i) {
      wakes[i].send(0);
      woken.recv();
    }
    wakes[0].close();
    const bool one_ended = rt_test::eventually([] { return rt::num_green_threads() == count; });
    std::map<green_thread*, int> noted;
    rt_test::with_world_stopped([&] { noted = take_noted(); });
    end();
    EXPECT_TRUE(one_ended);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(noted[all[i]], i < count / 2 ? 1 : 0) << i;
    for (std::size_t i = 1; i < count; ++i) wakes[i].close();
    done.wait();
  });
}

// Its place is used again, and both stand in the list as what is there now; the rest of the list is not lost.
TEST_P(scanned_stacks, one_that_ends_in_the_list_takes_nobody_along) {
  run_while_marking([] {
    constexpr int count = 10;
    begin();
    take_noted();
    std::vector<green_thread*> ended;
    for (int i = 0; i < count; ++i) {
      rt::wait_group done;
      done.go([&] { ended.push_back(rt::detail::current_green_thread()); });
      done.wait();
    }
    std::map<green_thread*, int> noted;
    rt_test::with_world_stopped([&] { noted = take_noted(); });
    end();
    for (green_thread* one : ended) EXPECT_EQ(noted[one], 1);
  });
}

// Memory that looks like a stack: words that refer to objects, one in each page and at both ends.
struct pretended_stack {
  explicit pretended_stack(std::size_t words, std::vector<std::uintptr_t>& objects) : memory(words) {
    constexpr std::size_t words_of_page = 512;
    for (std::size_t i = 0; i < words; i += words_of_page) refer(i, objects);
    refer(words - 1, objects);
  }
  void refer(std::size_t at, std::vector<std::uintptr_t>& objects) {
    memory[at] = reinterpret_cast<std::uintptr_t>(rt::make<std::array<std::uint64_t, 4>>());
    objects.push_back(memory[at]);
  }
  rt::detail::stack_extent extent() const {
    const auto* low = reinterpret_cast<const char*>(memory.data());
    return {low, low + memory.size() * sizeof(std::uintptr_t)};
  }
  std::vector<std::uintptr_t> memory;
};

TEST_P(scanned_stacks, deep_ones_are_shared_out_and_each_piece_is_looked_at_once) {
  run_while_marking([] {
    std::vector<std::uintptr_t> objects;
    // As deep as a deep one must be; no whole number of pieces; many pieces.
    const std::array<pretended_stack, 3> all{pretended_stack(8192, objects), pretended_stack(30'001, objects),
                                             pretended_stack(1 << 17, objects)};
    const pretended_stack low(8191, objects);
    rt::detail::deep_stacks deep;
    std::array<marker, 3> markers{marker(pool()), marker(pool()), marker(pool())};
    begin();
    for (int turn = 0; turn < 2; ++turn) {
      EXPECT_FALSE(deep.add(low.extent()));
      std::uint64_t bytes = 0;
      for (const pretended_stack& one : all) {
        EXPECT_TRUE(deep.add(one.extent()));
        bytes += one.extent().bytes();
      }
      EXPECT_EQ(deep.bytes(), bytes);
      std::vector<std::thread> threads;
      std::uint64_t before = 0;
      for (const marker& one : markers) before += one.scanned_bytes();
      for (marker& one : markers) threads.emplace_back([&] { deep.scan_share(one); });
      for (std::thread& one : threads) one.join();
      std::uint64_t after = 0;
      for (const marker& one : markers) after += one.scanned_bytes();
      EXPECT_EQ(after - before, bytes);
      deep.clear();
    }
    for (marker& one : markers) one.flush();
    std::size_t marked = 0;
    for (std::uintptr_t one : objects) {
      rt::detail::object_place place{};
      if (rt::detail::find_object(one, place) && place.in->is_marked(place.index)) ++marked;
    }
    end();
    EXPECT_EQ(marked, objects.size() - (8191 + 511) / 512 - 1) << "all but those of the one that is not deep";
  });
}

// --- frames of coroutines (sched/frame_list.h) ---

bool is_marked(std::uintptr_t address) {
  rt::detail::object_place place{};
  return rt::detail::find_object(address, place) && place.in->is_marked(place.index);
}

using words = std::array<std::uint64_t, 4>;

// An object that nothing refers to: its address stands in no word.
class hidden_object {
 public:
  std::uintptr_t address() const { return ~inverted_; }
  words* reveal() const { return reinterpret_cast<words*>(address()); }

 private:
  std::uintptr_t inverted_ = ~reinterpret_cast<std::uintptr_t>(rt::make<words>());
};

bool is_in_a_changed_frame(const void* address) {
  bool found = false;
  rt::detail::for_each_changed_frame(*rt::detail::current_green_thread(), [&](const char* low, const char* high) {
    found = found || (address >= low && address < high);
  });
  return found;
}

TEST_P(scanned_stacks, frames_that_change_are_scanned_with_them) {
  run_while_marking([] {
    const hidden_object while_it_waits;
    const hidden_object while_it_runs;
    // Memory that nobody looks into but for the list.
    std::vector<std::uintptr_t> memory(
        (sizeof(rt::detail::frame_header) + sizeof(std::uintptr_t)) / sizeof(std::uintptr_t) + 2);
    void* place = memory.data();
    std::size_t space = memory.size() * sizeof(std::uintptr_t);
    std::align(16, sizeof(rt::detail::frame_header), place, space);
    auto* frame =
        ::new (place) rt::detail::frame_header{rt::detail::frame_header::is_frame, nullptr, nullptr, sizeof(void*)};
    auto& word = *reinterpret_cast<std::uintptr_t*>(frame->frame());
    word = while_it_waits.address();
    rt::chan<int> gate;
    rt::wait_group done;
    std::atomic<green_thread*> holder{nullptr};
    done.go([&] {
      holder = rt::detail::current_green_thread();
      begin_frame_list(*holder, *frame, nullptr);
      gate.recv();
      holder.load()->frames = nullptr;
    });
    const bool waits = rt_test::come_to_wait_in("chan receive");
    begin();
    const bool before = is_marked(while_it_waits.address());
    scan_all();
    const bool scanned_as_it_waits = is_marked(while_it_waits.address());
    // As one that is at rest in a stop.
    word = while_it_runs.address();
    bool scanned_in_a_stop = false;
    rt_test::with_world_stopped([&] {
      marker one(pool());
      rt::detail::deep_stacks deep;
      holder.load()->where = rt::detail::phase::runnable;
      rt::detail::scan_stopped_stacks(one, true, deep);
      holder.load()->where = rt::detail::phase::waiting;
      one.flush();
      scanned_in_a_stop = is_marked(while_it_runs.address());
    });
    end();
    EXPECT_TRUE(waits && !before);
    EXPECT_TRUE(scanned_as_it_waits);
    EXPECT_TRUE(scanned_in_a_stop);
    gate.close();
    done.wait();
  });
}

// Moved into a frame, it is in one that is being made.
struct watched {
  explicit watched(int& count) : in_the_list(&count) {}
  watched(watched&& other) noexcept : in_the_list(other.in_the_list) {
    *in_the_list += is_in_a_changed_frame(this) ? 1 : 0;
  }
  watched& operator=(watched&&) = delete;
  ~watched() = default;
  int* in_the_list;
};

rt::coroutine<> takes(watched, words*, rt::chan<int> gate) { co_await rt::async_recv(gate); }

// What the coroutines of the next test have seen.
struct seen {
  std::atomic<bool> own_frame_listed{false};
  std::atomic<bool> callee_listed{false};
  std::atomic<bool> caller_listed{false};  // while the callee runs, after it has waited
  std::atomic<bool> caller_listed_again{false};
  std::atomic<bool> result_marked{false};
};

rt::coroutine<words*> gives(const hidden_object& one, rt::chan<int> gate, seen& what, void* callers) {
  int mine = 0;
  rt::keep_alive(&mine);
  co_await rt::async_recv(gate);
  what.callee_listed = is_in_a_changed_frame(&mine);
  what.caller_listed = is_in_a_changed_frame(callers);
  rt::keep_alive(&mine);
  co_return one.reveal();
}

rt::coroutine<> waits_with(const hidden_object& own, const hidden_object& given, rt::chan<int> gate, seen& what) {
  words* mine = nullptr;
  rt::keep_alive(&mine);
  co_await rt::async_recv(gate);
  mine = own.reveal();
  rt::keep_alive(&mine);
  what.own_frame_listed = is_in_a_changed_frame(&mine);
  co_await rt::async_recv(gate);
  words* got = co_await gives(given, gate, what, &mine);
  what.result_marked = is_marked(given.address());
  what.caller_listed_again = is_in_a_changed_frame(&mine);
  rt::keep_alive(&mine);
  rt::keep_alive(got);
  co_await rt::async_recv(gate);
}

bool the_coroutine_comes_to_wait() {
  return rt_test::eventually([] {
    bool waits = false;
    rt::detail::coroutines().for_each([&](const rt::detail::coroutine_record& one) {
      waits = waits || (one.crew.load() != nullptr && one.park.load() == rt::detail::park_word::parked);
    });
    return waits;
  });
}

TEST_P(scanned_stacks, what_stands_in_a_frame_is_found_before_it_is_left) {
  run_while_marking([] {
    const hidden_object argument;
    const hidden_object own;
    const hidden_object given;
    rt::chan<int> gate;
    seen what;
    int in_the_list = 0;
    begin();
    {
      rt::coroutine<> not_begun = takes(watched(in_the_list), argument.reveal(), gate);
      EXPECT_TRUE(is_marked(argument.address()));
      EXPECT_EQ(rt::detail::first_frame(*rt::detail::current_green_thread()), nullptr);
    }
    EXPECT_GE(in_the_list, 1);
    rt::go(waits_with(own, given, gate, what));
    EXPECT_TRUE(the_coroutine_comes_to_wait());
    EXPECT_FALSE(is_marked(own.address()));
    gate.send(1);
    EXPECT_TRUE(the_coroutine_comes_to_wait());
    EXPECT_TRUE(is_marked(own.address()));
    gate.send(2);
    EXPECT_TRUE(the_coroutine_comes_to_wait());
    EXPECT_FALSE(is_marked(given.address()));
    gate.send(3);
    EXPECT_TRUE(the_coroutine_comes_to_wait());
    end();
    EXPECT_TRUE(what.own_frame_listed);
    EXPECT_TRUE(what.callee_listed);
    EXPECT_FALSE(what.caller_listed);
    EXPECT_TRUE(what.caller_listed_again);
    EXPECT_TRUE(what.result_marked);
    gate.close();
  });
}

[[gnu::noinline]] int recurse(rt_test::tally& count, int depth, const rt::chan<int>& deep, const rt::chan<int>& go_on) {
  volatile char frame[1024];
  frame[0] = 1;
  node* mine = rt::make<node>(count, depth);
  int below = 0;
  if (depth > 0) {
    below = recurse(count, depth - 1, deep, go_on);
  } else {
    deep.send(0);
    while (go_on.recv()) deep.send(0);
  }
  return below + (mine->is_alive() && mine->value == depth ? frame[0] : 1'000'000);
}

// A green thread that waits below so many frames, each of which alone keeps an object alive; it is there when this is.
struct deep_one {
  deep_one(int frames, std::size_t stack_size) : depth(frames) {
    rt::go_options large;
    large.stack_size = stack_size;
    rt::go(large, [this] { found.send(recurse(count, depth, deep, go_on)); });
    deep.recv();
  }
  // Ends it.
  void expect_whole() {
    EXPECT_EQ(count.destroyed, 0);
    go_on.close();
    EXPECT_EQ(found.recv(), depth + 1);
  }

  const int depth;
  rt_test::tally count;
  rt::chan<int> deep;   // a value whenever it has come to wait
  rt::chan<int> go_on;  // lets it go on, to wait once more
  rt::chan<int> found{1};
};

RT_ON_PROCS(deep_stacks);

TEST_P(deep_stacks, of_a_mebibyte_are_seen_whole_while_others_allocate) {
  run([] {
    deep_one one(1000, 4 << 20);
    for (int i = 0; i < 3; ++i) {
      for (int k = 0; k < 1000; ++k) static_cast<void>(rt::make_array<char>(100));
      rt::gc();
    }
    one.expect_whole();
  });
}

// Wakes meet scans: the stack is given back in between, and scanned once more. It runs in the last stops as well, which
// leaves its pieces to the team.
TEST_P(deep_stacks, are_seen_whole_though_they_are_woken_while_they_are_looked_into) {
  run([] {
    deep_one one(4000, 16 << 20);
    std::atomic<bool> stop{false};
    rt::wait_group collecting;
    collecting.go([&] {
      while (!stop) rt::gc();
    });
    const rt::time_point until = rt::now() + std::chrono::milliseconds(300);
    while (rt::now() < until) {
      one.go_on.send(0);
      one.deep.recv();
    }
    stop = true;
    collecting.wait();
    one.expect_whole();
  });
}

}  // namespace
