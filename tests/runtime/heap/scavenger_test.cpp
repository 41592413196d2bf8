// What the heap gives back, as the kernel sees it.
#include "runtime/heap/scavenger.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "rt/make.h"
#include "rt/runtime.h"
#include "runtime/heap/heap_state.h"
#include "runtime/os/clock.h"
#include "runtime/os/memory.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"

namespace rt::detail {
namespace {

// Bytes of the heap that have memory behind them.
std::size_t resident() {
  std::size_t bytes = heap_pages_touched() * heap_page_size;
  std::vector<unsigned char> pages(bytes / os::page_size());
  EXPECT_EQ(mincore(the_layout.address_of(0), bytes, pages.data()), 0);
  std::size_t count = 0;
  for (unsigned char one : pages) count += one & 1U;
  return count * os::page_size();
}

constexpr std::size_t spike = 24 << 20;

// Uses `spike` bytes in small and large objects, and leaves them dead.
void make_a_spike() {
  rt_test::collect({});
  for (std::size_t used = 0; used < spike / 2; used += 1024) std::memset(make_array<char>(1000), 1, 1000);
  for (std::size_t used = 0; used < spike / 2; used += 1 << 20) {
    constexpr std::size_t large = (1 << 20) - 1;
    std::memset(make_array<char>(large), 1, large);
  }
  EXPECT_GE(resident(), spike);
  rt_test::collect({});
  rt_test::collect({});
}

// Steps until nothing is due; `advance` nanoseconds pass between two.
void step_through(scavenger& one, std::int64_t now, std::int64_t advance) {
  for (int i = 0; i < 2000; ++i, now += advance) {
    if (one.step(now) == INT64_MAX) return;
  }
  FAIL() << "the scavenger does not come to an end";
}

class scavenging : public testing::Test {
 protected:
  // The system monitor gives nothing back meanwhile.
  static void make_a_spike_that_stays() {
    set_scavenge_goal(std::size_t{1} << 40);
    make_a_spike();
  }
  ~scavenging() override { set_scavenge_goal(0); }
};

TEST_F(scavenging, forced_release_gives_all_back_and_the_heap_goes_on) {
  make_a_spike();
  std::uint64_t before = read_heap_figures().released_bytes;
  EXPECT_GE(release_free_pages(), spike * 9 / 10);
  heap_figures after = read_heap_figures();
  EXPECT_GE(after.released_bytes - before, spike * 9 / 10);
  EXPECT_EQ(after.idle_bytes, after.released_bytes);
  EXPECT_LE(resident(), after.span_bytes);
  EXPECT_EQ(release_free_pages(), 0U);
  long* again = make_array<long>(100'000);
  EXPECT_EQ(again[99'999], 0);
}

TEST_F(scavenging, release_memory_tells_of_the_heap) {
  rt_test::in_runtime(2, [] {
    make_a_spike_that_stays();
    EXPECT_GE(release_memory().heap_bytes, spike * 9 / 10);
  });
}

TEST_F(scavenging, the_goal_and_a_tenth_stay) {
  make_a_spike();
  scavenger mine;
  mine.set_goal(10 << 20);
  std::int64_t now = os::nanotime();
  step_through(mine, now + 1'000'000'000, 10'000'000);
  EXPECT_LE(resident(), (14 << 20) + (1 << 20));
  EXPECT_GE(resident(), 10 << 20);
}

TEST_F(scavenging, a_spike_is_forgotten_in_time) {
  make_a_spike();
  scavenger mine;
  std::int64_t now = os::nanotime();
  char* in_use = make_array<char>(spike);
  std::memset(in_use, 1, spike);
  EXPECT_EQ(mine.step(now), INT64_MAX);
  rt_test::collect({});
  static_cast<void>(mine.step(now + 1'000'000'000));
  EXPECT_GE(resident(), spike * 9 / 10) << "what was needed just now may be needed again";
  step_through(mine, now + 2'000'000'000, 500'000'000);
  EXPECT_LE(resident(), heap_span_bytes() + (6 << 20));
}

TEST_F(scavenging, takes_one_hundredth_of_a_cpu) {
  make_a_spike();
  scavenger mine;
  mine.set_goal(1);
  std::int64_t began = os::nanotime();
  std::int64_t now = began;
  std::uint64_t longest = 0;
  while (now - began < 50'000'000) {
    std::uint64_t before = mine.worked_so_far();
    std::int64_t next = mine.step(now);
    std::uint64_t worked = mine.worked_so_far() - before;
    longest = std::max(longest, worked);
    if (worked != 0) {
      EXPECT_GE(next - now, static_cast<std::int64_t>(99 * worked));
    }
    now = os::nanotime();
  }
  EXPECT_GT(mine.worked_so_far(), 0U);
  EXPECT_LE(mine.worked_so_far(), static_cast<std::uint64_t>(now - began) / 100 + longest);
}

// The system monitor calls it, also when the runtime is idle.
TEST_F(scavenging, happens_by_itself) {
  rt_test::in_runtime(2, [] {
    make_a_spike_that_stays();
    std::uint64_t before = read_heap_figures().released_bytes;
    set_scavenge_goal(1);
    EXPECT_TRUE(rt_test::eventually([&] { return read_heap_figures().released_bytes > before + (4 << 20); }));
  });
}

TEST_F(scavenging, everything_is_named_in_the_map_of_the_process) {
  static_cast<void>(make<int>(1));
  std::ifstream maps("/proc/self/maps");
  std::string text((std::istreambuf_iterator<char>(maps)), std::istreambuf_iterator<char>());
  void* probe = os::reserve(4096, 0, "rt: probe");
  std::ifstream again("/proc/self/maps");
  std::string with_probe((std::istreambuf_iterator<char>(again)), std::istreambuf_iterator<char>());
  os::release(probe, 4096);
  if (with_probe.find("rt: probe") == std::string::npos) return;  // a kernel without names
  for (const char* name : {"rt: heap]", "rt: heap page entries]", "rt: heap spans]", "rt: heap free pages]",
                           "rt: heap released pages]", "rt: heap free-page summaries]", "rt: heap tables]"}) {
    EXPECT_NE(text.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace rt::detail
