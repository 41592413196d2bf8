// What the tables of heap and collector take: within a bound of the heap, and told as it is.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "rt/rt.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap_figures.h"
#include "runtime/heap/region.h"
#include "tests/runtime/in_runtime.h"

namespace {

constexpr std::uint64_t page_size = 4096;

// What the kernel says: resident bytes of the mapping in which the address lies.
std::optional<std::uint64_t> resident_around(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool is_there = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t low = 0;
    std::uintptr_t high = 0;
    std::uint64_t kilobytes = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &low, &high) == 2) is_there = low <= wanted && wanted < high;
    if (is_there && std::sscanf(line.c_str(), "Rss: %lu kB", &kilobytes) == 1) return kilobytes * 1024;
  }
  return std::nullopt;
}

RT_ON_PROCS(metadata);

TEST_P(metadata, is_told_as_the_system_counts_it_and_bounded_by_the_heap) {
  run([] {
    // Small ones need the most descriptors for their bytes. Few, where each 200th refill marks all of them, and checks
    // it.
    const std::size_t count = rt_test::is_stressed() ? 20'000 : 400'000;
    rt::vector<rt::ref<std::uint64_t>> live;
    for (std::size_t i = 0; i < count; ++i) live.push_back(rt::make<std::uint64_t>(i));
    for (int i = 0; i < 3; ++i) rt::gc();
    const std::optional<std::uint64_t> spans = resident_around(rt::detail::the_layout.spans);
    const std::optional<std::uint64_t> entries = resident_around(rt::detail::the_layout.entries);
    const std::uint64_t told = rt::read_gc_stats().table_bytes;
    const rt::detail::heap_figures heap = rt::detail::read_heap_figures();
    EXPECT_GE(told, heap.span_table_bytes + heap.table_bytes + heap.cache_bytes);
    // A twentieth of the heap, and what a small one has as well. (The queues of marking and of dead objects are not in
    // this: they are as long as they had to be so far.)
    EXPECT_LE(heap.span_table_bytes + heap.cache_bytes + heap.table_bytes - rt::detail::dead_queue_bytes(),
              heap.heap_bytes / 20 + (512U << 10))
        << heap.heap_bytes;
    EXPECT_EQ(live.size(), count);
    if (!spans || !entries) GTEST_SKIP() << "the map of the process has other addresses than the process (an emulator)";
    EXPECT_GT(*spans, 0U);
    EXPECT_LE(*spans, heap.span_table_bytes + page_size);
    EXPECT_GT(*entries, 0U);
    EXPECT_LE(*entries, heap.table_bytes + page_size);
  });
}

}  // namespace
