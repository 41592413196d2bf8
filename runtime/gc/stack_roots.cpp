#include "runtime/gc/stack_roots.h"

#include <algorithm>

#include "runtime/os/clock.h"
#include "runtime/os/signal.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/frame_list.h"
#include "runtime/sched/scan_list.h"

namespace rt::detail {

namespace {

// How many slots of stacks a member of the team takes in a row.
constexpr std::size_t slots_in_row = 64;
// How much of a stack is looked at in the first stop, in bytes: some 5 us.
constexpr std::ptrdiff_t most_of_hint = 8192;
// Deep stacks are looked into in pieces of so much, in bytes: some 10 us each.
constexpr std::size_t piece_size = 16 * 1024;

void scan_saved_registers(marker& into, const green_thread& one) noexcept {
  if (one.interrupted == nullptr) return;
  os::saved_registers registers = os::registers_of(one.interrupted);
  into.scan(registers.low, registers.high);
}

void scan_frames(marker& into, const green_thread& one) noexcept {
  for_each_changed_frame(one, [&](const char* low, const char* high) { into.scan(low, high); });
}

// At rest: nobody runs it, and nobody will before the world goes on.
std::uint64_t scan_at_rest(marker& into, const green_thread& one, deep_stacks& deep) noexcept {
  stack_extent used = extent_of(one);
  if (!deep.add(used)) into.scan(used.low, used.high);
  scan_saved_registers(into, one);
  scan_frames(into, one);
  return used.bytes();
}

void scan_whole(marker& into, const green_thread& one) noexcept {
  into.scan(one.stack_low(), one.stack_high());
  scan_frames(into, one);
}

// True when it was parked and has been scanned; its bytes are added. In a stop it may be left to `deep`.
bool scan_if_parked(marker& into, green_thread& one, std::uint64_t& bytes, deep_stacks* deep = nullptr) noexcept {
  if (!park_word::begin_scan(one.park)) return false;
  const stack_extent used = extent_of(one);
  scan_saved_registers(into, one);
  scan_frames(into, one);
  const char* next = deep != nullptr && deep->add(used) ? used.high : used.low;
  while (next != used.high) {
    const char* end = next + std::min(piece_size, static_cast<std::size_t>(used.high - next));
    into.scan(next, end);
    next = end;
    if (park_word::is_wanted(one.park)) break;
  }
  if (park_word::end_scan(one.park)) {
    ran_since_scan.add(one);
    the_scheduler()->make_ready(nullptr, one);
  }
  into.scan(next, used.high);  // nothing, or the rest of one that may run now: a hint
  bytes += used.bytes();
  return true;
}

// Of the descriptor one word alone is read: while the green thread may run, that is a hint.
RT_GC_UNSEEN stack_extent extent_above(const char* low, const green_thread& one) noexcept {
  const char* high = one.stack_high();
  const auto* top = static_cast<const char*>(*const_cast<void* const volatile*>(&one.flow.stack_pointer));
  // Code that has switched to a stack of its own: what it had used of this one is not known.
  return {top >= low && top <= high ? top : low, high};
}

}  // namespace

// Nothing here is written by the owner of the descriptor while the stack is at rest.
stack_extent extent_of(const green_thread& one) noexcept { return extent_above(one.stack_low(), one); }

std::uint64_t scan_parked_stacks(marker& into, std::size_t index, std::size_t members) noexcept {
  std::uint64_t bytes = 0;
  std::size_t number = 0;
  stacks().for_each_slot([&](const stack_slot& slot) {
    if (number++ / slots_in_row % members != index) return;
    green_thread& one = *descriptor_of(slot.base, slot.size, slot.index);
    phase where = one.where.load(std::memory_order_acquire);  // pairs with spawn_prepare
    if (where == phase::unused || scan_if_parked(into, one, bytes)) return;
    ran_since_scan.add(one);
    // It may begin to run, and what is seen then is not what it will be. But what it holds now is likely to be what it
    // holds at the end, and need not be marked in the pause.
    if (where == phase::runnable || where == phase::prepared) {
      // Where its stack lies says the slot. It may end now and another one begin here, which writes that into the
      // descriptor.
      stack_extent used = extent_above(slot.base + slot.guard_size, one);
      into.scan(used.low, used.high);
      bytes += static_cast<std::uint64_t>(used.high - used.low);
    }
  });
  return bytes;
}

std::size_t scan_returned_stacks(marker& into) noexcept {
  std::size_t left = 0;
  std::uint64_t bytes = 0;
  for (green_thread* one = ran_since_scan.take_all(); one != nullptr;) {
    green_thread* next = scan_list::next(*one);
    if (one->where.load(std::memory_order_acquire) != phase::unused && !scan_if_parked(into, *one, bytes)) {
      ran_since_scan.add(*one);
      ++left;
    }
    one = next;
  }
  return left;
}

bool deep_stacks::add(const stack_extent& one) noexcept {
  if (one.bytes() < least || count_ == most) return false;
  places_[count_++] = {one, pieces_};
  pieces_ += (one.bytes() + piece_size - 1) / piece_size;
  bytes_ += one.bytes();
  return true;
}

void deep_stacks::clear() noexcept {
  count_ = pieces_ = 0;
  bytes_ = 0;
  taken_.store(0, std::memory_order_relaxed);  // the begin of the team's next run tells its members
}

void deep_stacks::scan_share(marker& into) noexcept {
  const place* at = places_.data();
  const place* last = at + count_ - 1;
  while (true) {
    std::size_t piece = taken_.fetch_add(1, std::memory_order_relaxed);
    if (piece >= pieces_) return;
    while (at != last && at[1].first_piece <= piece) ++at;
    const char* low = at->used.low + (piece - at->first_piece) * piece_size;
    into.scan(low, low + std::min(piece_size, static_cast<std::size_t>(at->used.high - low)));
  }
}

stack_counts scan_stopped_stacks(marker& into, bool all, deep_stacks& deep) noexcept {
  stack_counts counts;
  auto scan_one = [&](green_thread& one) {
    phase where = one.where.load(std::memory_order_acquire);
    if (where == phase::unused || where == phase::blocking) return;  // below
    counts.bytes += scan_at_rest(into, one, deep);
    ++counts.stacks;
  };
  if (all) {
    stacks().for_each_slot([&](const stack_slot& slot) { scan_one(*descriptor_of(slot.base, slot.size, slot.index)); });
  } else {
    for (green_thread* one = ran_since_scan.take_all(); one != nullptr;) {
      green_thread* next = scan_list::next(*one);
      if (one->where.load(std::memory_order_acquire) != phase::unused) {
        // The world may have to go on once more: who is parked needs no further scan, if it stays so.
        if (!scan_if_parked(into, *one, counts.bytes, &deep)) {
          scan_one(*one);
          ran_since_scan.add(*one);
        }
      }
      one = next;
    }
  }
  the_scheduler()->for_each_interrupted([&](const green_thread& one, bool registers_saved) {
    if (registers_saved) {
      counts.bytes += scan_at_rest(into, one, deep);
    } else {
      scan_whole(into, one);
    }
    ++counts.stacks;
  });
  return counts;
}

void scan_interrupted(marker& into, deep_stacks& deep) noexcept {
  the_scheduler()->for_each_interrupted([&](const green_thread& one, bool registers_saved) {
    if (registers_saved) {
      scan_at_rest(into, one, deep);
    } else {
      scan_whole(into, one);
    }
  });
}

void scan_who_made_way(marker& into, std::int64_t until) noexcept {
  int procs = the_scheduler()->proc_limit();
  for (int i = 0; i < procs && os::nanotime() < until; ++i) {
    const green_thread* one = the_scheduler()->proc(i).made_way.load(std::memory_order_relaxed);
    if (one == nullptr || one->where.load(std::memory_order_relaxed) != phase::runnable) continue;
    stack_extent used = extent_of(*one);
    // From the top, where those of long standing are.
    into.scan(std::max(used.low, used.high - most_of_hint), used.high);
  }
}

}  // namespace rt::detail
