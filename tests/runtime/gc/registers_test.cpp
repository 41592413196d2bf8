// A reference that stands in one register alone, or in a place of the stack that only a convention protects, keeps its
// object while its green thread is stopped by a signal.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "rt/rt.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/gc/sight.h"

namespace {

using rt_test::node;
using rt_test::out_of_sight;
using rt_test::tally;

// What a loop in assembly and the test share.
struct shared_words {
  std::uintptr_t hidden = 0;  // the address inverted, which is none of the heap
  std::atomic<unsigned char> begun{0};
  std::atomic<unsigned char> end{0};
};

using loop = void (*)(shared_words& with);

// Takes the address out of its hiding place, waits until it may end, and writes it back the same way. `take` and `put`
// leave no other register with the address.
#if defined(__x86_64__)
#define RT_LOOP_WITH(take, put, ...)                                                    \
  [](shared_words& with) {                                                              \
    asm volatile(take "movb $1, 8(%[with])\n1: pause\ncmpb $0, 9(%[with])\nje 1b\n" put \
                 :                                                                      \
                 : [with] "r"(&with)                                                    \
                 : __VA_ARGS__, "cc", "memory");                                        \
  }
#define RT_GENERAL(name)                                                          \
  {                                                                               \
#name, RT_LOOP_WITH("movq (%[with]), %%" #name "\nnotq %%" #name "\n",        \
                        "notq %%" #name "\nmovq %%" #name ", (%[with])\n", #name) \
  }
#define RT_VECTOR(name)                                                                                    \
  {                                                                                                        \
#name, RT_LOOP_WITH("pcmpeqd %%xmm6, %%xmm6\nmovq (%[with]), %%" #name "\npxor %%xmm6, %%" #name "\n", \
                        "pxor %%xmm6, %%" #name "\nmovq %%" #name ", (%[with])\n", #name, "xmm6")          \
  }
#else
#define RT_LOOP_WITH(take, put, ...)                                                                           \
  [](shared_words& with) {                                                                                     \
    asm volatile(take "mov w9, #1\nstrb w9, [%[with], #8]\n1: yield\nldrb w9, [%[with], #9]\ncbz w9, 1b\n" put \
                 :                                                                                             \
                 : [with] "r"(&with)                                                                           \
                 : __VA_ARGS__, "x9", "cc", "memory");                                                         \
  }
#define RT_GENERAL(name)                                                               \
  {                                                                                    \
#name, RT_LOOP_WITH("ldr " #name ", [%[with]]\nmvn " #name ", " #name "\n",        \
                        "mvn " #name ", " #name "\nstr " #name ", [%[with]]\n", #name) \
  }
#define RT_VECTOR(number)                                                                                         \
  {                                                                                                               \
    "v" #number, RT_LOOP_WITH("ldr d" #number ", [%[with]]\nmvn v" #number ".8b, v" #number ".8b\n",              \
                              "mvn v" #number ".8b, v" #number ".8b\nstr d" #number ", [%[with]]\n", "v" #number) \
  }
#endif
static_assert(offsetof(shared_words, begun) == 8 && offsetof(shared_words, end) == 9);

struct place {
  const char* name;
  loop run;
};

// A loop that has the only reference to an object in `one` is stopped by collections. On the calling green thread, with
// a second P.
void expect_seen(const place& one) {
  tally count;
  shared_words with;
  // A collection that somebody else has asked for may come before the loop begins. It has its slot before the other one
  // uses it: `begun` is written in assembly, so ThreadSanitizer sees no order there.
  tally others;
  rt::root<node> until_begun = rt::make<node>(others, 0);
  const rt_test::sight_of_registers sight;
  std::atomic<bool> is_lost{false};
  rt::wait_group done;
  done.go([&] {
    out_of_sight([&] {
      until_begun = rt::make<node>(count, 7);
      with.hidden = ~reinterpret_cast<std::uintptr_t>(until_begun.get());
    });
    one.run(with);
    if (is_lost) return;
    const node* mine = reinterpret_cast<const node*>(~with.hidden);
    EXPECT_TRUE(mine->is_alive()) << one.name;
    EXPECT_EQ(mine->value, 7);
  });
  EXPECT_TRUE(rt_test::eventually([&] { return with.begun.load() == 1; })) << one.name;
  until_begun = nullptr;
  for (int i = 0; i < 2; ++i) rt::gc();
  is_lost = sight.is_lost();
  if (!is_lost) {
    EXPECT_EQ(count.destroyed, 0) << one.name;
  }
  with.end = 1;
  done.wait();
}

#if defined(__x86_64__)
constexpr place general[] = {RT_GENERAL(rax), RT_GENERAL(rbx), RT_GENERAL(rcx), RT_GENERAL(rdx), RT_GENERAL(rsi),
                             RT_GENERAL(rdi), RT_GENERAL(r8),  RT_GENERAL(r9),  RT_GENERAL(r10), RT_GENERAL(r11),
                             RT_GENERAL(r12), RT_GENERAL(r13), RT_GENERAL(r14), RT_GENERAL(r15)};
constexpr place vectors[] = {RT_VECTOR(xmm0), RT_VECTOR(xmm7), RT_VECTOR(xmm15)};
#else
constexpr place general[] = {RT_GENERAL(x0),  RT_GENERAL(x8),  RT_GENERAL(x19), RT_GENERAL(x20),
                             RT_GENERAL(x21), RT_GENERAL(x22), RT_GENERAL(x23), RT_GENERAL(x24),
                             RT_GENERAL(x25), RT_GENERAL(x26), RT_GENERAL(x27), RT_GENERAL(x28)};
constexpr place vectors[] = {RT_VECTOR(0), RT_VECTOR(8), RT_VECTOR(15), RT_VECTOR(31)};
#endif

TEST(registers, of_every_kind_keep_what_they_refer_to) {
  rt_test::in_runtime(2, [] {
    for (const place& one : general) expect_seen(one);
  });
}

TEST(registers, of_vectors_keep_what_they_refer_to) {
  rt_test::in_runtime(2, [] {
    for (const place& one : vectors) expect_seen(one);
  });
}

#if defined(__x86_64__)
TEST(registers, the_upper_half_of_a_wide_one_keeps_what_it_refers_to) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "the processor has none";
  rt_test::in_runtime(2, [] {
    expect_seen({"upper half of ymm13",
                 RT_LOOP_WITH("vpcmpeqd %%ymm14, %%ymm14, %%ymm14\nvpxor %%xmm13, %%xmm13, %%xmm13\n"
                              "vmovq (%[with]), %%xmm15\nvpxor %%xmm14, %%xmm15, %%xmm15\n"
                              "vinserti128 $1, %%xmm15, %%ymm13, %%ymm13\nvpxor %%xmm15, %%xmm15, %%xmm15\n",
                              "vextracti128 $1, %%ymm13, %%xmm15\nvpxor %%xmm14, %%xmm15, %%xmm15\n"
                              "vmovq %%xmm15, (%[with])\nvzeroupper\n",
                              "xmm13", "xmm14", "xmm15")});
  });
}

// A function that calls nothing may use 128 bytes below its stack pointer; this is the lowest word of them.
TEST(registers, the_red_zone_keeps_what_it_refers_to) {
  rt_test::in_runtime(2, [] {
    expect_seen(
        {"red zone", RT_LOOP_WITH("movq (%[with]), %%rax\nnotq %%rax\nmovq %%rax, -128(%%rsp)\nmovl $0, %%eax\n",
                                  "movq -128(%%rsp), %%rax\nnotq %%rax\nmovq %%rax, (%[with])\n", "rax")});
  });
}
#endif

struct wait_for_word {
  rt::chan<int> go_on;
  std::atomic<bool> begun{false};
};

// The first six are passed in registers, the others on the stack; all are used after the wait alone.
[[gnu::noinline]] int sum_after(wait_for_word& word, const node* a, const node* b, const node* c, const node* d,
                                const node* e, const node* f, const node* g, const node* h, const node* i) {
  word.begun = true;
  word.go_on.recv();
  int sum = 0;
  for (const node* one : {a, b, c, d, e, f, g, h, i}) sum += one->is_alive() ? one->value : -1000;
  return sum;
}

RT_ON_PROCS(parameters);

TEST_P(parameters, of_a_parked_green_thread_keep_what_they_refer_to) {
  run([] {
    tally count;
    wait_for_word word;
    rt::chan<int> sum;
    std::array<rt::root<node>, 9> until_begun;
    rt::go([&] {
      out_of_sight([&] {
        for (std::size_t i = 0; i < 9; ++i) until_begun[i] = rt::make<node>(count, 1 << i);
      });
      auto at = [&](std::size_t i) { return until_begun[i].get(); };
      sum.send(sum_after(word, at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8)));
    });
    EXPECT_TRUE(rt_test::eventually([&] { return word.begun.load(); }));
    for (rt::root<node>& one : until_begun) one = nullptr;
    for (int i = 0; i < 3; ++i) {
      rt::yield();
      rt::gc();
    }
    EXPECT_EQ(count.destroyed, 0);
    word.go_on.send(0);
    EXPECT_EQ(sum.recv(), 511);
  });
}

}  // namespace
