#include "bench/rt/rows.h"
#include "rt/rt.h"

namespace bench_rt {

namespace {

// How many of the objects are alive: the last ones.
constexpr std::size_t kept = 8192;

struct node {
  rt::ref<node> left, right;
  std::uint64_t number[2];
};
static_assert(sizeof(node) == 32);

struct tree {
  rt::ref<tree> left, right;
};

// Levels of the tree that is alive all the time (2^21 - 1 nodes), and of those that come and go (2^17 - 1).
constexpr int live_levels = 21;
constexpr int short_levels = 17;

tree* make_tree(int levels) {
  tree* top = rt::make<tree>();
  if (levels > 1) {
    top->left = make_tree(levels - 1);
    top->right = make_tree(levels - 1);
  }
  return top;
}

std::uint64_t count_tree(const tree* top) {
  return top == nullptr ? 0 : 1 + count_tree(top->left) + count_tree(top->right);
}

struct block {
  block() noexcept {}  // leaves the words as they are
  std::uint64_t words[128];
};
static_assert(sizeof(block) == 1024);

}  // namespace

}  // namespace bench_rt

template <>
inline constexpr bool rt::noscan<bench_rt::block> = true;

namespace bench_rt {

// An object of 32 bytes with two references, of which the last 8192 are alive; the collector's part is in it.
bench::sample alloc_32(std::uint64_t count) {
  rt::ref<node>* ring = rt::make_array<rt::ref<node>>(kept);
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    node* fresh = rt::make<node>();
    fresh->number[0] = i;
    ring[i % kept] = fresh;
  }
  const std::int64_t end = bench::now_ns();
  bench::require(ring[(count - 1) % kept]->number[0] == count - 1, "the last object is another one");
  return bench::per_operation(count, end - start);
}

// The same with a block of 1 KiB without references, of which the first and last word are written.
bench::sample alloc_1k(std::uint64_t count) {
  rt::ref<block>* ring = rt::make_array<rt::ref<block>>(kept);
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    block* fresh = rt::make<block>();
    fresh->words[0] = i;
    fresh->words[127] = i;
    ring[i % kept] = fresh;
  }
  const std::int64_t end = bench::now_ns();
  bench::require(ring[(count - 1) % kept]->words[127] == count - 1, "the last object is another one");
  return bench::per_operation(count, end - start);
}

// A tree of 2^17 nodes is built and dropped, while one of 2^21 is alive.
bench::sample binary_trees(std::uint64_t count) {
  tree* live = make_tree(live_levels);
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    bench::require(count_tree(make_tree(short_levels)) == (1U << short_levels) - 1, "a tree has lost nodes");
  }
  const std::int64_t end = bench::now_ns();
  bench::require(count_tree(live) == (1U << live_levels) - 1, "the live tree has lost nodes");
  bench::sample found = bench::per_operation(count, end - start);
  found.value *= 1e-6;
  return found;
}

// Collections that are asked for, with a tree of 2^21 nodes alive.
bench::sample full_collection(std::uint64_t count) {
  tree* live = make_tree(live_levels);
  rt::gc();
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) rt::gc();
  const std::int64_t end = bench::now_ns();
  bench::require(count_tree(live) == (1U << live_levels) - 1, "the live tree has lost nodes");
  bench::sample found = bench::per_operation(count, end - start);
  found.value *= 1e-6;
  return found;
}

}  // namespace bench_rt
