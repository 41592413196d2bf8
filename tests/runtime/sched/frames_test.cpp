// Stacks of code whose frame pointer is none.
#include <gtest/gtest.h>

#include <cstdint>

#include "rt/rt.h"
#include "runtime/observe/frame_bounds.h"
#include "tests/runtime/in_runtime.h"

namespace {

using rt::detail::is_frame_within;

TEST(frames, lie_within_the_stack_with_both_words) {
  EXPECT_TRUE(is_frame_within(0x1000, 0x1000, 0x2000));
  EXPECT_TRUE(is_frame_within(0x1ff0, 0x1000, 0x2000));
  EXPECT_FALSE(is_frame_within(0x1ff8, 0x1000, 0x2000));
  EXPECT_FALSE(is_frame_within(0xff8, 0x1000, 0x2000));
  EXPECT_FALSE(is_frame_within(0x1004, 0x1000, 0x2000));
  EXPECT_FALSE(is_frame_within(0x2000, 0x1000, 0x2000));
  EXPECT_FALSE(is_frame_within(0, 0x1000, 0x2000));
  for (std::uintptr_t back = 8; back <= 64; back += 8) EXPECT_FALSE(is_frame_within(0 - back, 0x1000, 0x2000)) << back;
}

#if defined(__x86_64__)
// A loop in which the register of the frame pointer holds -8, as code without frame pointers may have it.
__attribute__((noinline)) void spin_with_a_number_for_a_frame(const bool* stop) {
  // 128 bytes below the stack pointer may be in use.
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"
      "push %%rbp\n\t"
      "mov $-8, %%rbp\n"
      "1:\n\t"
      "cmpb $0, (%0)\n\t"
      "je 1b\n\t"
      "pop %%rbp\n\t"
      "lea 128(%%rsp), %%rsp"
      :
      : "r"(stop)
      : "memory", "cc");
}

RT_ON_PROCS(stacks);

TEST_P(stacks, of_code_without_frame_pointers_are_shown) {
  run([] {
    bool stop = false;
    rt::wait_group group;
    for (int i = 0; i < rt::max_procs() + 2; ++i) group.go([&] { spin_with_a_number_for_a_frame(&stop); });
    EXPECT_TRUE(rt_test::eventually([] { return rt::read_stats().threads_frozen > 0; }));
    for (int i = 0; i < 3; ++i) {
      EXPECT_GE(rt::all_green_threads().size(), static_cast<std::size_t>(rt::max_procs() + 2));
      rt::sleep_for(std::chrono::milliseconds(1));
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    group.wait();
  });
}
#endif

}  // namespace
