// bench_mimalloc: the rows of allocation and of memory with mimalloc, whose objects are freed by hand when they go.
#include <mimalloc.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bench/common/churn.h"
#include "bench/common/program.h"

namespace bench_mimalloc {

namespace {

constexpr std::size_t kept = 8192;

struct node {
  node* left;
  node* right;
  std::uint64_t number[2];
};
struct block {
  std::uint64_t words[128];
};

}  // namespace

// As bench_rt's row: all of the object is written, as its constructor there does.
bench::sample alloc_32(std::uint64_t count) {
  auto** ring = static_cast<node**>(mi_zalloc(kept * sizeof(node*)));
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    node* fresh = ::new (mi_malloc(sizeof(node))) node{};
    fresh->number[0] = i;
    node*& place = ring[i % kept];
    mi_free(place);
    place = fresh;
  }
  const std::int64_t end = bench::now_ns();
  bench::require(ring[(count - 1) % kept]->number[0] == count - 1, "the last object is another one");
  return bench::per_operation(count, end - start);
}

bench::sample alloc_1k(std::uint64_t count) {
  auto** ring = static_cast<block**>(mi_zalloc(kept * sizeof(block*)));
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    auto* fresh = static_cast<block*>(mi_malloc(sizeof(block)));
    fresh->words[0] = i;
    fresh->words[127] = i;
    block*& place = ring[i % kept];
    mi_free(place);
    place = fresh;
  }
  const std::int64_t end = bench::now_ns();
  bench::require(ring[(count - 1) % kept]->words[127] == count - 1, "the last object is another one");
  return bench::per_operation(count, end - start);
}

// As bench_rt's row; what goes is freed at once, so nothing waits for a collection.
bench::sample churn(std::uint64_t count) {
  std::vector<std::uint64_t*> objects(bench::churn_most_objects);
  std::vector<std::uint32_t> sizes(bench::churn_most_objects);
  objects.clear();
  sizes.clear();
  std::uint64_t live = 0;
  bench::churn_plan plan;
  const auto drop = [&](std::size_t index) {
    bench::require(bench::is_stamped(objects[index], sizes[index]), "an object was overwritten");
    mi_free(objects[index]);
    live -= sizes[index];
    objects[index] = objects.back();
    sizes[index] = sizes.back();
    objects.pop_back();
    sizes.pop_back();
  };
  const double before = bench::read_memory_use().resident;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t phase = 0; phase < count; ++phase) {
    for (std::uint64_t made = 0; made < bench::churn_bytes;) {
      const std::size_t size = plan.size(phase);
      while (live + size > bench::churn_bytes) drop(plan.index(sizes.size()));
      auto* fresh = static_cast<std::uint64_t*>(mi_malloc(size));
      bench::stamp(fresh, size);
      objects.push_back(fresh);
      sizes.push_back(static_cast<std::uint32_t>(size));
      live += size;
      made += size;
    }
  }
  const std::int64_t end = bench::now_ns();
  const double resident = bench::read_memory_use().resident - before;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    bench::require(bench::is_stamped(objects[i], sizes[i]), "an object was overwritten");
  }
  mi_collect(true);
  const double kept = bench::read_memory_use().resident - before;
  bench::require(live > bench::churn_bytes / 100 * 99, "less is alive than should be");
  bench::sample found = bench::per_operation(count, end - start);
  found.value = resident / static_cast<double>(live);
  found.details = {{"fragmentation", kept / static_cast<double>(live)}};
  return found;
}

bench::sample spike(std::uint64_t count) {
  mi_collect(true);
  const double before = bench::read_memory_use().resident;
  const std::int64_t start = bench::now_ns();
  const std::size_t blocks = count * bench::spike_blocks_in_mib;
  auto** all = static_cast<std::uint64_t**>(mi_malloc(blocks * sizeof(std::uint64_t*)));
  for (std::size_t i = 0; i < blocks; ++i) {
    all[i] = static_cast<std::uint64_t*>(mi_malloc(bench::spike_block));
    bench::stamp(all[i], bench::spike_block);
  }
  const double peak = bench::read_memory_use().resident;
  bench::require(peak > static_cast<double>(count << 20), "the spike is not in memory");
  for (std::size_t i = 0; i < blocks; ++i) {
    bench::require(bench::is_stamped(all[i], bench::spike_block), "a block was overwritten");
    mi_free(all[i]);
  }
  mi_free(all);
  mi_collect(true);
  const std::int64_t end = bench::now_ns();
  bench::sample found = bench::per_operation(count, end - start);
  found.value = std::max(bench::read_memory_use().resident - before, bench::least_left);
  return found;
}

}  // namespace bench_mimalloc

int main(int argument_count, char** arguments) {
  using namespace bench_mimalloc;
  bench::program program;
  program.name = "bench_mimalloc";
  program.version = std::to_string(mi_version());
  program.rows = {{"alloc_32", "ns", alloc_32, 30'000'000, 1},
                  {"alloc_1k", "ns", alloc_1k, 4'000'000, 1},
                  {"churn", "ratio", churn, 12, 2},
                  {"spike", "bytes", spike, 512, 2}};
  program.inside = [](int, const std::function<void()>& body) { body(); };
  return bench::main_of(program, argument_count, arguments);
}
