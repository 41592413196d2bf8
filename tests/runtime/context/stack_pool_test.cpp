#include "runtime/context/stack_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "runtime/os/memory.h"

namespace {

using rt::detail::stack_address;
using rt::detail::stack_pool;
using rt::detail::stack_slot;

TEST(stack_pool, classes_are_powers_of_two_from_64_kib) {
  EXPECT_EQ(stack_pool::class_of(1), 0U);
  EXPECT_EQ(stack_pool::class_of(64 * 1024), 0U);
  EXPECT_EQ(stack_pool::class_of(64 * 1024 + 1), 1U);
  EXPECT_EQ(stack_pool::slot_size(stack_pool::class_of(256 * 1024)), 256U * 1024);
  EXPECT_EQ(stack_pool::class_of(std::size_t{64} << 20), stack_pool::class_count - 1);
  EXPECT_EQ(stack_pool::class_of((std::size_t{64} << 20) + 1), stack_pool::class_count);
}

TEST(stack_pool, a_slot_is_writable_above_its_guard_and_is_found_by_address) {
  stack_pool pool;
  stack_slot slot;
  ASSERT_TRUE(pool.take(2, slot, nullptr));
  std::memset(slot.base + slot.guard_size, 0x5a, slot.size - slot.guard_size);
  stack_address found;
  ASSERT_TRUE(pool.find(slot.base + slot.size - 1, found));
  EXPECT_EQ(found.base, slot.base);
  EXPECT_FALSE(found.in_guard);
  ASSERT_TRUE(pool.find(slot.base + 5, found));
  EXPECT_TRUE(found.in_guard);
  int on_another_stack = 0;
  EXPECT_FALSE(pool.find(&on_another_stack, found));
  pool.give(slot);
}

TEST(stack_pool, the_guard_faults) {
  stack_pool pool;
  stack_slot slot;
  ASSERT_TRUE(pool.take(0, slot, nullptr));
  for (char* place : {slot.base, slot.base + slot.guard_size - 1}) {
    pid_t child = fork();
    if (child == 0) {
      std::signal(SIGSEGV, SIG_DFL);
      *static_cast<volatile char*>(place) = 1;
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  }
}

TEST(stack_pool, slots_are_reused_last_in_first_out) {
  stack_pool pool;
  stack_slot first;
  stack_slot second;
  ASSERT_TRUE(pool.take(1, first, nullptr));
  ASSERT_TRUE(pool.take(1, second, nullptr));
  EXPECT_NE(first.base, second.base);
  pool.give(first);
  pool.give(second);
  EXPECT_EQ(pool.totals().cached, 2U);
  stack_slot again;
  ASSERT_TRUE(pool.take(1, again, nullptr));
  EXPECT_EQ(again.base, second.base);
}

TEST(stack_pool, cached_slots_come_and_go_in_numbers) {
  stack_pool pool;
  std::array<stack_slot, 3> slots;
  EXPECT_EQ(pool.take_cached(0, slots), 0U) << "none is cached, and none is made";
  for (stack_slot& slot : slots) ASSERT_TRUE(pool.take(0, slot, nullptr));
  pool.give(slots);
  std::array<stack_slot, 2> two;
  ASSERT_EQ(pool.take_cached(0, two), 2U);
  EXPECT_EQ(two[0].base, slots[2].base) << "the warmest first";
  EXPECT_EQ(two[1].base, slots[1].base);
  ASSERT_EQ(pool.take_cached(0, two), 1U) << "no more than there are";
  EXPECT_EQ(two[0].base, slots[0].base);
}

TEST(stack_pool, release_cached_gives_pages_back_and_keeps_guards) {
  stack_pool pool;
  stack_slot slot;
  ASSERT_TRUE(pool.take(2, slot, nullptr));
  std::memset(slot.base + slot.guard_size, 1, slot.size - slot.guard_size);
  pool.give(slot);
  EXPECT_GE(pool.release_cached(), slot.size - slot.guard_size - rt::os::page_size());
  EXPECT_EQ(pool.release_cached(), 0U) << "the second time nothing is resident";
  EXPECT_EQ(slot.base[slot.size - 1], 0) << "given back pages read as zero";
  pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    *static_cast<volatile char*>(slot.base) = 1;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
}

std::size_t count_maps() {
  std::ifstream maps("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(maps, line);) ++lines;
  return lines;
}

TEST(stack_pool, marker_guards_cost_no_mapping_and_the_others_have_a_cap) {
  stack_pool pool;
  std::size_t before = count_maps();
  stack_slot slot;
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.take(0, slot, nullptr));
  std::size_t more = count_maps() - before;
  if (pool.guards_by_marker()) {
    EXPECT_LT(more, 10U);
    EXPECT_EQ(pool.totals().limit, 0U);
  } else {
    EXPECT_GT(more, 500U);
    EXPECT_GT(pool.totals().limit, 0U);
  }
}

TEST(stack_pool, the_cap_of_mprotect_guards_refuses_with_its_reason) {
  // In a process of its own: the choice of guards is made once in a process.
  pid_t child = fork();
  if (child == 0) {
    setenv("RT_STACK_GUARD", "mprotect", 1);
    execl("/proc/self/exe", "context_test", "--gtest_filter=stack_pool_with_mprotect.*",
          "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
    _exit(99);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
    GTEST_SKIP() << "a program cannot start itself under this emulator";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// Run by the test above, with RT_STACK_GUARD=mprotect.
TEST(stack_pool_with_mprotect, DISABLED_takes_until_the_cap) {
  stack_pool pool;
  ASSERT_FALSE(pool.guards_by_marker());
  std::uint64_t limit = pool.totals().limit;
  ASSERT_GT(limit, 0U);
  stack_slot slot;
  const char* reason = nullptr;
  for (std::uint64_t i = 0; i < limit; ++i) ASSERT_TRUE(pool.take(0, slot, &reason)) << i << " of " << limit;
  EXPECT_FALSE(pool.take(0, slot, &reason));
  ASSERT_NE(reason, nullptr);
  EXPECT_NE(std::string(reason).find("vm.max_map_count"), std::string::npos);
  EXPECT_EQ(pool.totals().failures, 1U);
  pool.give(slot);
  EXPECT_TRUE(pool.take(0, slot, &reason)) << "a slot that was given back is had again";
}

TEST(stack_pool, every_slot_is_visited) {
  stack_pool pool;
  std::set<char*> taken;
  stack_slot slot;
  for (std::uint32_t c : {0U, 1U, 2U, 2U, 5U}) {
    ASSERT_TRUE(pool.take(c, slot, nullptr));
    taken.insert(slot.base);
  }
  std::set<char*> seen;
  pool.for_each_slot([&](const stack_slot& one) { seen.insert(one.base); });
  EXPECT_EQ(seen, taken);
}

}  // namespace
