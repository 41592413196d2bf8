// bench_bdwgc: the rows of trees and of marking with the collector of Boehm, Demers and Weiser, which marks in
// parallel, with as many threads as the row has processors.
#define GC_THREADS  // for GC_set_markers_count
#include <gc/gc.h>

#include <string>

#include "bench/common/mark_graph.h"
#include "bench/common/program.h"

namespace bench_bdwgc {

namespace {

struct tree {
  tree* left;
  tree* right;
};

struct record {
  record* left;
  record* right;
  std::uint64_t words[6];
};

constexpr int live_levels = 21;
constexpr int short_levels = 17;

tree* make_tree(int levels) {
  auto* top = static_cast<tree*>(GC_MALLOC(sizeof(tree)));
  if (levels > 1) {
    top->left = make_tree(levels - 1);
    top->right = make_tree(levels - 1);
  }
  return top;
}

std::uint64_t count_tree(const tree* top) {
  return top == nullptr ? 0 : 1 + count_tree(top->left) + count_tree(top->right);
}

}  // namespace

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

bench::sample full_collection(std::uint64_t count) {
  tree* live = make_tree(live_levels);
  GC_gcollect();
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) GC_gcollect();
  const std::int64_t end = bench::now_ns();
  bench::require(count_tree(live) == (1U << live_levels) - 1, "the live tree has lost nodes");
  bench::sample found = bench::per_operation(count, end - start);
  found.value *= 1e-6;
  return found;
}

// Of 64 MiB in objects of 64 bytes, with one thread that marks.
bench::sample mark_rate(std::uint64_t count) {
  GC_disable();
  record* live = bench::make_graph<record>([] { return static_cast<record*>(GC_MALLOC(sizeof(record))); });
  GC_enable();
  GC_gcollect();
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) GC_gcollect();
  const std::int64_t end = bench::now_ns();
  bench::require(bench::sum_of_graph(live) == bench::graph_sum, "the live objects have changed");
  bench::sample found = bench::per_operation(count, end - start);
  found.value = static_cast<double>(count * bench::graph_records * sizeof(record)) * 1e-6 / found.seconds;
  return found;
}

}  // namespace bench_bdwgc

int main(int argument_count, char** arguments) {
  using namespace bench_bdwgc;
  bench::program program;
  program.name = "bench_bdwgc";
  unsigned version = GC_get_version();
  program.version =
      std::to_string(version >> 16) + "." + std::to_string(version >> 8 & 0xff) + "." + std::to_string(version & 0xff);
  program.rows = {{"binary_trees", "ms", binary_trees, 200, 2},
                  {"full_collection", "ms", full_collection, 10, 2},
                  {"mark_rate", "MB/s", mark_rate, 10, 1}};
  program.inside = [](int procs, const std::function<void()>& body) {
    GC_set_markers_count(static_cast<unsigned>(procs));
    GC_INIT();
    body();
  };
  return bench::main_of(program, argument_count, arguments);
}
