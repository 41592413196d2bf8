// Memory that the process has for what is alive: after a long churn of many sizes, and after a spike.
#include <algorithm>
#include <vector>

#include "bench/common/churn.h"
#include "bench/rt/rows.h"
#include "rt/rt.h"

namespace bench_rt {

namespace {

// All that is garbage, what lies beside new objects included.
void collect_all() {
  rt::gc();
  rt::gc();
  rt::release_memory();
}

// Objects that come and go at random places of a table.
class churned {
 public:
  void run_phase(std::uint64_t phase) {
    for (std::uint64_t made = 0; made < bench::churn_bytes;) {
      const std::size_t size = plan_.size(phase);
      while (live_ + size > bench::churn_bytes) drop(plan_.index(sizes_.size()));
      std::uint64_t* fresh = rt::make_array<std::uint64_t>(size / 8);
      bench::stamp(fresh, size);
      objects_[sizes_.size()] = fresh;
      sizes_.push_back(static_cast<std::uint32_t>(size));
      live_ += size;
      made += size;
    }
  }

  std::uint64_t check_all() const {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      bench::require(bench::is_stamped(objects_[i], sizes_[i]), "an object was overwritten");
      bytes += sizes_[i];
    }
    return bytes;
  }

 private:
  void drop(std::size_t index) {
    bench::require(bench::is_stamped(objects_[index], sizes_[index]), "an object was overwritten");
    live_ -= sizes_[index];
    objects_[index] = objects_[sizes_.size() - 1];
    sizes_[index] = sizes_.back();
    objects_[sizes_.size() - 1] = nullptr;
    sizes_.pop_back();
  }

  rt::ref<std::uint64_t>* objects_ = rt::make_array<rt::ref<std::uint64_t>>(bench::churn_most_objects);
  std::vector<std::uint32_t> sizes_ = [] {
    std::vector<std::uint32_t> sizes(bench::churn_most_objects);  // touched, as the table of objects is
    sizes.clear();
    return sizes;
  }();
  std::uint64_t live_ = 0;
  bench::churn_plan plan_;
};

}  // namespace

// `count` phases of churn; how much memory the process has for each live byte, and how much of it is left when all
// garbage is gone and all that is free was given back.
bench::sample churn(std::uint64_t count) {
  churned objects;
  const double before = bench::read_memory_use().resident;
  const std::int64_t start = bench::now_ns();
  for (std::uint64_t phase = 0; phase < count; ++phase) objects.run_phase(phase);
  const std::int64_t end = bench::now_ns();
  const double resident = bench::read_memory_use().resident - before;
  const auto live = static_cast<double>(objects.check_all());
  collect_all();
  const double kept = bench::read_memory_use().resident - before;
  bench::require(live > 0.99 * static_cast<double>(bench::churn_bytes), "less is alive than should be");
  bench::sample found = bench::per_operation(count, end - start);
  found.value = resident / live;
  found.details = {{"fragmentation", kept / live}};
  return found;
}

// A spike of `count` MiB comes and goes; what the process still has of it when all that is free was given back.
bench::sample spike(std::uint64_t count) {
  collect_all();
  const double before = bench::read_memory_use().resident;
  const std::int64_t start = bench::now_ns();
  rt::wait_group group;
  group.go([count] {  // on a stack of its own, which ends with it
    const std::size_t blocks = count * bench::spike_blocks_in_mib;
    rt::ref<std::uint64_t>* all = rt::make_array<rt::ref<std::uint64_t>>(blocks);
    for (std::size_t i = 0; i < blocks; ++i) {
      std::uint64_t* fresh = rt::make_array<std::uint64_t>(bench::spike_block / 8);
      bench::stamp(fresh, bench::spike_block);
      all[i] = fresh;
    }
    for (std::size_t i = 0; i < blocks; ++i) {
      bench::require(bench::is_stamped(all[i], bench::spike_block), "a block was overwritten");
    }
    const double peak = bench::read_memory_use().resident;
    bench::require(peak > static_cast<double>(count << 20), "the spike is not in memory");
  });
  group.wait();
  collect_all();
  const std::int64_t end = bench::now_ns();
  bench::sample found = bench::per_operation(count, end - start);
  found.value = std::max(bench::read_memory_use().resident - before, bench::least_left);
  return found;
}

}  // namespace bench_rt
