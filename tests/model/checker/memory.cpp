#include "tests/model/checker/memory.h"

#include <cstring>

#include "tests/model/checker/sites.h"

namespace rt_model {

namespace {

// Between two stores that are appended there is room for 32 halvings.
constexpr std::uint64_t gap = std::uint64_t{1} << 32;

std::uint64_t read_memory(const volatile void* address, std::uint8_t size) {
  std::uint64_t value = 0;
  std::memcpy(&value, const_cast<const void*>(address), size);
  return value;
}

}  // namespace

void memory::begin(const options& bounds) {
  bounds_ = bounds;
  spurious_left_ = bounds.spurious_failures;
  locations_.clear();
  location_count_ = 0;
  cells_.clear();
}

location& memory::at(const volatile void* address, std::uint8_t size) {
  auto key = reinterpret_cast<std::uintptr_t>(address);
  location& found = locations_[key];
  if (found.size == 0) {
    found.number = location_count_++;
    found.size = size;
  }
  if (found.size != size) fail_("an atomic object is accessed with two sizes");
  if (found.order.empty()) {  // its first value is what a constructor or the zeroed memory left
    store_record initial;
    initial.value = read_memory(address, size);
    initial.place = gap;
    found.order.push_back(initial);
    cells_[key >> 3].atomics |= static_cast<std::uint8_t>(1U << (key & 7));
  }
  return found;
}

std::uint64_t memory::newest(const volatile void* address, std::uint8_t size) {
  return at(address, size).order.back().value;
}

std::size_t memory::first_readable(thread_memory& by, const location& where, bool sequential) const {
  std::uint64_t floor = by.known.seen.at(where.number);
  if (sequential) floor = std::max(floor, where.sequential_floor);
  std::size_t first = where.order.size() - 1;
  while (first > 0 && where.order[first].place > floor) --first;
  return first;
}

std::size_t memory::limit_staleness(thread_memory& by, const location& where, std::size_t first) const {
  auto count = by.stale_reads.find(where.number);
  return count != by.stale_reads.end() && count->second >= bounds_.stale_reads ? where.order.size() - 1 : first;
}

void memory::count_staleness(thread_memory& by, const location& where, std::size_t index) const {
  if (index + 1 == where.order.size()) {
    by.stale_reads.erase(where.number);
  } else {
    ++by.stale_reads[where.number];
  }
}

void memory::learn(thread_memory& by, location& where, const store_record& from, int order) {
  by.known.seen.raise(where.number, from.place);
  by.caused.join(from.caused);
  if (from.carries != nullptr) {
    if (acquires(order)) {
      by.known.join(*from.carries);
    } else {
      by.pending_acquire.join(*from.carries);
    }
  }
  if (order == __ATOMIC_SEQ_CST) where.sequential_floor = std::max(where.sequential_floor, from.place);
}

std::uint64_t memory::load(thread_memory& by, const operation& one, effect& done, bool newest) {
  note_access(by, one.address, one.size, false, true, one.site, one.order);
  location& where = at(one.address, one.size);
  std::size_t last = where.order.size() - 1;
  std::size_t first = newest ? last : first_readable(by, where, one.order == __ATOMIC_SEQ_CST);
  first = limit_staleness(by, where, first);
  std::size_t index = last - static_cast<std::size_t>(choose_(static_cast<int>(last - first + 1)));
  count_staleness(by, where, index);
  learn(by, where, where.order[index], one.order);
  done.read = where.order[index].value;
  done.read_event = where.order[index].event;
  done.behind = last - index;
  ++by.known.happened.ticks[by.number];
  return done.read;
}

std::uint64_t memory::place_after(location& where, std::size_t index) const {
  std::uint64_t here = where.order[index].place;
  if (index + 1 == where.order.size()) return here + gap;
  std::uint64_t between = here + (where.order[index + 1].place - here) / 2;
  if (between == here) fail_("the checker has no room left in a modification order");
  return between;
}

void memory::insert(thread_memory& by, location& where, std::size_t after, const operation& one, int order,
                    std::uint64_t value, std::shared_ptr<const knowledge> inherited) {
  store_record fresh;
  fresh.value = value;
  fresh.event = by.event;
  fresh.caused = by.caused;
  fresh.caused.ticks[by.number] = by.known.happened.ticks[by.number] + 1;
  fresh.place = place_after(where, after);
  by.known.seen.raise(where.number, fresh.place);
  if (order == __ATOMIC_SEQ_CST) where.sequential_floor = std::max(where.sequential_floor, fresh.place);
  ++by.known.happened.ticks[by.number];  // this step and all before it are part of what is released
  std::shared_ptr<const knowledge> mine = releases(order) ? std::make_shared<const knowledge>(by.known) : by.released;
  if (mine != nullptr && inherited != nullptr) {
    auto both = std::make_shared<knowledge>(*mine);
    both->join(*inherited);
    fresh.carries = std::move(both);
  } else {
    fresh.carries = mine != nullptr ? std::move(mine) : std::move(inherited);
  }
  where.order.insert(where.order.begin() + static_cast<std::ptrdiff_t>(after) + 1, std::move(fresh));
  std::memcpy(const_cast<void*>(one.address), &where.order.back().value, where.size);
  by.stale_reads.erase(where.number);
}

void memory::store(thread_memory& by, const operation& one, std::uint64_t value, effect& done) {
  note_access(by, one.address, one.size, true, true, one.site, one.order);
  location& where = at(one.address, one.size);
  std::size_t last = where.order.size() - 1;
  std::size_t after = last;
  if (bounds_.early_stores) {
    std::size_t first = first_readable(by, where, one.order == __ATOMIC_SEQ_CST);
    std::vector<std::size_t> places;
    for (std::size_t i = last + 1; i-- > first;) {
      if (!where.order[i].sealed) places.push_back(i);
    }
    after = places[static_cast<std::size_t>(choose_(static_cast<int>(places.size())))];
  }
  done.written = value;
  done.did_write = true;
  done.behind = last - after;
  insert(by, where, after, one, one.order, value, nullptr);
}

std::uint64_t memory::exchange(thread_memory& by, const operation& one,
                               const std::function<std::uint64_t(std::uint64_t)>& change, effect& done) {
  note_access(by, one.address, one.size, true, true, one.site, one.order);
  location& where = at(one.address, one.size);
  std::size_t last = where.order.size() - 1;
  std::size_t from = last;
  if (bounds_.early_stores) {
    std::size_t first = first_readable(by, where, one.order == __ATOMIC_SEQ_CST);
    std::vector<std::size_t> places;
    for (std::size_t i = last + 1; i-- > first;) {
      if (!where.order[i].sealed) places.push_back(i);
    }
    from = places[static_cast<std::size_t>(choose_(static_cast<int>(places.size())))];
  }
  where.order[from].sealed = true;
  std::uint64_t before = where.order[from].value;
  std::shared_ptr<const knowledge> inherited = where.order[from].carries;
  learn(by, where, where.order[from], one.order);
  done.read = before;
  done.written = change(before);
  done.did_write = true;
  done.behind = last - from;
  insert(by, where, from, one, one.order, done.written, std::move(inherited));
  return before;
}

bool memory::compare_exchange(thread_memory& by, const operation& one, std::uint64_t& expected, std::uint64_t wanted,
                              effect& done) {
  location& where = at(one.address, one.size);
  std::size_t last = where.order.size() - 1;
  bool sequential = one.order == __ATOMIC_SEQ_CST || one.failure_order == __ATOMIC_SEQ_CST;
  std::size_t first = limit_staleness(by, where, first_readable(by, where, sequential));
  struct option {
    std::size_t index;
    bool success;
  };
  std::vector<option> options;
  for (std::size_t i = last + 1; i-- > first;) {
    const store_record& one_store = where.order[i];
    if (one_store.value != expected) {
      options.push_back({i, false});
    } else if (!one_store.sealed && (i == last || bounds_.early_stores)) {
      options.push_back({i, true});
    }
  }
  std::size_t certain = options.size();
  if (one.weak && spurious_left_ > 0 && where.order[last].value == expected) options.push_back({last, false});
  auto chosen = static_cast<std::size_t>(choose_(static_cast<int>(options.size())));
  if (chosen >= certain) --spurious_left_;
  option picked = options[chosen];
  done.read = where.order[picked.index].value;
  done.behind = last - picked.index;
  note_access(by, one.address, one.size, picked.success, true, one.site,
              picked.success ? one.order : one.failure_order);
  if (!picked.success) {
    count_staleness(by, where, picked.index);
    learn(by, where, where.order[picked.index], one.failure_order);
    expected = done.read;
    ++by.known.happened.ticks[by.number];
    return false;
  }
  where.order[picked.index].sealed = true;
  std::shared_ptr<const knowledge> inherited = where.order[picked.index].carries;
  learn(by, where, where.order[picked.index], one.order);
  done.written = wanted;
  done.did_write = true;
  insert(by, where, picked.index, one, one.order, wanted, std::move(inherited));
  return true;
}

void memory::fence(thread_memory& by, int order) {
  ++by.known.happened.ticks[by.number];
  if (acquires(order)) by.known.join(by.pending_acquire);
  if (order == __ATOMIC_SEQ_CST) {
    for (auto& [address, where] : locations_) {
      by.known.seen.raise(where.number, where.sequential_floor);
      where.sequential_floor = by.known.seen.at(where.number);
    }
  }
  if (releases(order)) by.released = std::make_shared<const knowledge>(by.known);
}

// ---------------------------------------------------------------------------------------------------------------------
// Accesses that are not atomic

void memory::plain(thread_memory& by, const volatile void* address, std::size_t size, bool write, std::uintptr_t site) {
  note_access(by, address, size, write, false, site);
}

void memory::note_access(thread_memory& by, const volatile void* address, std::size_t size, bool write, bool atomic,
                         std::uintptr_t site, int order) {
  auto begin = reinterpret_cast<std::uintptr_t>(address);
  std::uintptr_t end = begin + size;
  for (std::uintptr_t key = begin >> 3; key <= (end - 1) >> 3; ++key) {
    std::uintptr_t low = std::max(begin, key << 3) & 7;
    std::uintptr_t high = std::min(end, (key + 1) << 3) - (key << 3);
    auto mask = static_cast<std::uint8_t>((1U << high) - (1U << low));
    cell& here = cells_[key];
    if (here.freed) fail_("use of memory that was given back, at " + describe_site(site));
    std::size_t kept = 0;
    for (access& one : here.accesses) {
      bool ordered = one.thread == by.number || one.tick <= by.known.happened.ticks[one.thread];
      if (!ordered && (one.bytes & mask) != 0 && (one.write || write) && !(one.atomic && atomic)) {
        auto text = [](bool writes, bool is_atomic) {
          return std::string(is_atomic ? "an atomic " : "a plain ") + (writes ? "write" : "read");
        };
        fail_("data race: " + text(one.write, one.atomic) + " by thread " + std::to_string(one.thread) + " at " +
              describe_site(one.site) + "\n  is not ordered with " + text(write, atomic) + " by thread " +
              std::to_string(by.number) + " at " + describe_site(site));
      }
      // (An acquire that read a release would be ordered behind it, and in its own past.)
      if (bounds_.refuse_load_buffering && !ordered && (one.bytes & mask) != 0 && one.atomic && atomic && write &&
          !one.write && !(one.acquires && releases(order)) && one.tick <= by.caused.ticks[one.thread]) {
        fail_("load buffering: the load by thread " + std::to_string(one.thread) + " at " + describe_site(one.site) +
              "\n  may read what thread " + std::to_string(by.number) + " stores as a consequence of it at " +
              describe_site(site));
      }
      // What is ordered before this access, and no weaker than it, need not be remembered.
      bool covered = ordered && (one.bytes & ~mask) == 0 && (write || !one.write) && (!atomic || one.atomic);
      if (!covered) here.accesses[kept++] = one;
    }
    here.accesses.resize(kept);
    here.accesses.push_back({mask, static_cast<std::uint8_t>(by.number), write, atomic, acquires(order),
                             by.known.happened.ticks[by.number] + 1, site});
    if (!write || atomic || (here.atomics & mask) == 0) continue;
    for (unsigned byte = 0; byte < 8; ++byte) {
      if ((here.atomics & mask & (1U << byte)) == 0) continue;
      here.atomics &= static_cast<std::uint8_t>(~(1U << byte));
      locations_.erase((key << 3) + byte);  // what is there from now on is another object
    }
  }
}

void memory::freed(thread_memory& by, const volatile void* address, std::size_t size, std::uintptr_t site) {
  if (size == 0) return;
  note_access(by, address, size, true, false, site);
  auto begin = reinterpret_cast<std::uintptr_t>(address);
  for (std::uintptr_t key = begin >> 3; key <= (begin + size - 1) >> 3; ++key) cells_[key].freed = true;
}

}  // namespace rt_model
