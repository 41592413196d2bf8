// The memory of one execution: for each atomic location its modification order, for every byte who accessed it last.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/model/checker/clocks.h"
#include "tests/model/checker/model.h"
#include "tests/model/checker/operation.h"

namespace rt_model {

/// What the memory knows about one thread.
struct thread_memory {
  int number = 0;
  std::uint32_t event = no_event;  // of the step that it takes
  knowledge known;
  clock caused;                                        // the steps that this one may be a consequence of
  knowledge pending_acquire;                           // what an acquire fence would learn
  std::shared_ptr<const knowledge> released;           // by the last release fence
  std::unordered_map<std::uint32_t, int> stale_reads;  // in a row, by location
};

struct store_record {
  std::uint64_t value = 0;
  std::uint64_t place = 0;  // in the modification order; grows
  bool sealed = false;      // the next one is a read-modify-write that read it
  std::shared_ptr<const knowledge> carries;
  clock caused;                    // what it may be a consequence of
  std::uint32_t event = no_event;  // the step that stored it
};

struct location {
  std::uint32_t number = 0;
  std::uint8_t size = 0;
  std::vector<store_record> order;
  std::uint64_t sequential_floor = 0;  // the latest place that sequentially consistent operations have seen
};

/// What an operation did, for the trace.
struct effect {
  std::uint64_t read = 0;
  std::uint64_t written = 0;
  bool did_write = false;
  std::uint32_t read_event = no_event;
  std::size_t behind = 0;  // how many newer stores there were than the one that was read
};

class memory {
 public:
  using chooser = std::function<int(int)>;
  using failure = std::function<void(const std::string&)>;

  memory(chooser choose, failure fail) : choose_(std::move(choose)), fail_(std::move(fail)) {}

  void begin(const options& bounds);

  /// An atomic operation; `change` computes what a read-modify-write stores. Returns what was read.
  std::uint64_t load(thread_memory& by, const operation& one, effect& done, bool newest = false);
  void store(thread_memory& by, const operation& one, std::uint64_t value, effect& done);
  std::uint64_t exchange(thread_memory& by, const operation& one,
                         const std::function<std::uint64_t(std::uint64_t)>& change, effect& done);
  bool compare_exchange(thread_memory& by, const operation& one, std::uint64_t& expected, std::uint64_t wanted,
                        effect& done);
  void fence(thread_memory& by, int order);
  std::uint64_t newest(const volatile void* address, std::uint8_t size);

  /// An access that is not atomic.
  void plain(thread_memory& by, const volatile void* address, std::size_t size, bool write, std::uintptr_t site);
  /// The memory was given back.
  void freed(thread_memory& by, const volatile void* address, std::size_t size, std::uintptr_t site);

 private:
  struct access {
    std::uint8_t bytes;  // of the eight of a cell, as a mask
    std::uint8_t thread;
    bool write;
    bool atomic;
    bool acquires;
    std::uint32_t tick;
    std::uintptr_t site;
  };
  struct cell {
    std::vector<access> accesses;
    std::uint8_t atomics = 0;  // where in the cell a location begins, as a mask
    bool freed = false;
  };

  location& at(const volatile void* address, std::uint8_t size);
  void note_access(thread_memory& by, const volatile void* address, std::size_t size, bool write, bool atomic,
                   std::uintptr_t site, int order = __ATOMIC_RELAXED);
  std::size_t first_readable(thread_memory& by, const location& where, bool sequential) const;
  void learn(thread_memory& by, location& where, const store_record& from, int order);
  std::uint64_t place_after(location& where, std::size_t index) const;
  void insert(thread_memory& by, location& where, std::size_t after, const operation& one, int order,
              std::uint64_t value, std::shared_ptr<const knowledge> inherited);
  std::size_t limit_staleness(thread_memory& by, const location& where, std::size_t first) const;
  void count_staleness(thread_memory& by, const location& where, std::size_t index) const;

  chooser choose_;
  failure fail_;
  options bounds_;
  int spurious_left_ = 0;
  std::unordered_map<std::uintptr_t, location> locations_;
  std::uint32_t location_count_ = 0;
  std::unordered_map<std::uintptr_t, cell> cells_;
};

}  // namespace rt_model
