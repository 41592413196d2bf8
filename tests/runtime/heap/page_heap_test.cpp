// The page heap against a naive model: a byte for each page.
#include "runtime/heap/page_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "runtime/heap/span.h"
#include "runtime/os/memory.h"
#include "tests/runtime/seeds.h"

namespace rt::detail {
namespace {

// A region of its own, of 64 chunks.
class page_heaps : public testing::Test {
 protected:
  static constexpr std::size_t region_size = 64 * heap_chunk_size;
  page_heaps() {
    EXPECT_TRUE(reserve_heap(layout, region_size));
    EXPECT_TRUE(pages.create(layout));
  }
  ~page_heaps() override {
    pages.destroy();
    os::release(layout.address_of(0), region_size);
    os::release(layout.entries, layout.page_count() * sizeof(std::uint64_t));
    os::release(layout.spans, layout.page_count() * sizeof(span));
  }
  heap_layout layout;
  page_heap pages;
};

TEST_F(page_heaps, gives_the_lowest_run_that_fits) {
  page_run a = pages.allocate(10);
  page_run b = pages.allocate(5);
  page_run c = pages.allocate(10);
  EXPECT_EQ(b.first, a.first + 10);
  EXPECT_EQ(c.first, b.first + 5);
  pages.free(b.first, b.count);
  EXPECT_EQ(pages.allocate(6).first, c.first + 10) << "the hole of 5 is too small";
  EXPECT_EQ(pages.allocate(5).first, b.first);
  EXPECT_TRUE(pages.is_consistent());
}

TEST_F(page_heaps, neighbours_that_are_freed_join_across_chunks) {
  page_run all = pages.allocate(3 * pages_per_chunk);
  page_run behind = pages.allocate(1);
  ASSERT_EQ(behind.first, all.first + all.count);
  pages.free(all.first + 500, 24);
  pages.free(all.first + 524, 600);
  page_run joined = pages.allocate(624);
  EXPECT_EQ(joined.first, all.first + 500);
  EXPECT_TRUE(pages.is_consistent());
}

TEST_F(page_heaps, knows_which_pages_read_as_zero) {
  page_run fresh = pages.allocate(8);
  EXPECT_TRUE(fresh.zero);
  pages.free(fresh.first, 8);
  page_run again = pages.allocate(8);
  EXPECT_EQ(again.first, fresh.first);
  EXPECT_FALSE(again.zero) << "they have been used";
  page_run both = pages.allocate(4);
  pages.free(again.first, 8);
  pages.free(both.first, 4);
  for (page_run backed = pages.take_backed(3, pages_per_chunk); backed.count != 0;
       backed = pages.take_backed(3, pages_per_chunk)) {
    pages.put_released(backed);
  }
  EXPECT_EQ(pages.released(), pages.grown());
  EXPECT_TRUE(pages.allocate(12).zero);
  EXPECT_TRUE(pages.is_consistent());
}

TEST_F(page_heaps, refuses_what_does_not_fit_and_goes_on) {
  EXPECT_EQ(pages.allocate(64 * pages_per_chunk + 1).count, 0U);
  page_run all = pages.allocate(64 * pages_per_chunk);
  EXPECT_EQ(all.count, 64U * pages_per_chunk);
  EXPECT_EQ(pages.allocate(1).count, 0U);
  page_cache cache;
  EXPECT_EQ(pages.allocate(1, cache).count, 0U);
  pages.free(all.first, all.count);
  EXPECT_EQ(pages.allocate(64 * pages_per_chunk).first, all.first);
}

TEST_F(page_heaps, released_pages_are_taken_from_the_top) {
  page_run run = pages.allocate(1000);
  pages.free(run.first, run.count);
  page_run top = pages.take_backed(16, pages_per_chunk);
  EXPECT_EQ(top.first + top.count, run.first + run.count);
  pages.put_released(top);
  page_run next = pages.take_backed(16, pages_per_chunk);
  EXPECT_EQ(next.first + next.count, top.first);
  pages.put_released(next);
}

TEST_F(page_heaps, dense_chunks_are_left_alone_unless_asked) {
  page_run full = pages.allocate(pages_per_chunk);
  pages.free(full.first + 7, 2);
  EXPECT_EQ(pages.take_backed(64, pages_per_chunk / 2).count, 0U);
  pages.look_at_all_again();
  page_run found = pages.take_backed(64, pages_per_chunk);
  EXPECT_EQ(found.first, full.first + 7);
  EXPECT_EQ(found.count, 2U);
  pages.put_released(found);
}

TEST_F(page_heaps, random_calls_agree_with_a_model) {
  rt_test::seeds seeds;
  std::mt19937 random = seeds.source(0);
  std::vector<bool> is_taken(layout.page_count());
  std::vector<bool> is_used(layout.page_count());  // since the system had it last
  std::vector<page_run> taken;
  page_cache caches[3];
  auto note_taken = [&](const page_run& run) {
    for (std::uint32_t page = run.first; page < run.first + run.count; ++page) {
      ASSERT_FALSE(is_taken[page]) << "page " << page << " was given out twice";
      if (run.zero) {
        ASSERT_FALSE(is_used[page]) << "page " << page << " does not read as zero";
      }
      is_taken[page] = is_used[page] = true;
    }
    taken.push_back(run);
  };
  for (int step = 0; step < 4000; ++step) {
    unsigned what = random() % 16;
    if (what < 6) {
      std::uint32_t count = random() % 8 == 0 ? 1 + random() % 900 : 1 + random() % 20;
      page_run run = pages.allocate(count);
      if (run.count != 0) note_taken(run);
    } else if (what < 9) {
      page_cache& cache = caches[random() % 3];
      page_run run = pages.allocate(1 + random() % 16, cache);
      if (run.count != 0) note_taken(run);
    } else if (what < 14) {
      if (taken.empty()) continue;
      std::size_t which = random() % taken.size();
      page_run run = taken[which];
      taken[which] = taken.back();
      taken.pop_back();
      pages.free(run.first, run.count);
      for (std::uint32_t page = run.first; page < run.first + run.count; ++page) is_taken[page] = false;
    } else if (what == 14) {
      page_run run = pages.take_backed(1 + random() % 64, pages_per_chunk);
      if (run.count == 0) continue;
      for (std::uint32_t page = run.first; page < run.first + run.count; ++page) {
        ASSERT_FALSE(is_taken[page]);
        is_used[page] = false;
      }
      pages.put_released(run);
    } else {
      pages.empty(caches[random() % 3]);
    }
    if (step % 16 == 0) {
      ASSERT_TRUE(pages.is_consistent()) << "after step " << step;
    }
  }
  for (page_cache& cache : caches) pages.empty(cache);
  for (const page_run& run : taken) pages.free(run.first, run.count);
  EXPECT_TRUE(pages.is_consistent());
  EXPECT_EQ(pages.allocate(pages.grown()).count, pages.grown()) << "all of it is one run again";
}

}  // namespace
}  // namespace rt::detail
