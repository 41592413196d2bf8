// A model checker for the runtime's own protocols.
//
// It runs a test's body, and the real code of the runtime that the body calls, as a set of threads that it schedules
// itself, over a memory that it keeps itself, and does so again and again with other orders and other values that the
// C++ memory model allows, until none are left within given bounds. This is bounded exploration and no proof: see the
// list of what it does not cover. So a missing fence or a too weak order shows itself on any machine, in a unit test,
// with the execution that proves it.
//
// How the real code gets into the model. It is compiled with the instrumentation that compilers have for race
// detectors (-fsanitize=thread), which turns every atomic operation, fence and plain access into a call; instrument.cpp
// is what is called, instead of the detector. Nothing of the runtime is written for the model's sake: no atomic type of
// its own, no macro, no copy; and the plain accesses are seen as well, so that data races on members that the protocol
// is there to protect are found.
//
// The memory model (memory.cpp) is C++20's, in the operational form that goes by views and timestamps:
//   * Each location has a modification order. A load may read any store that is not older than what its thread knows of
//     the location; which one is a choice of the exploration. By default a store becomes the newest; with
//     options::early_stores it may take any place later than what its thread knows (2+2W).
//   * A release attaches what the thread knows to the store; an acquire that reads the store learns it. Release
//   sequences
//     are C++20's: read-modify-writes pass on what they read, plain stores of the same thread do not. Fences collect
//     what relaxed loads have read, and attach themselves to later relaxed stores.
//   * The order of sequentially consistent operations and fences is the order of their execution. For each location the
//     latest store that they have seen is kept; a sequentially consistent load reads nothing older, a fence sees all of
//     it and adds all that its thread has seen.
//   * A barrier on all threads (membarrier) is a sequentially consistent fence of each of them, at that moment.
//   * Happens-before is kept as vector clocks beside the views; two accesses of which one is plain and one a write, and
//     that are not ordered, are a data race. Memory given back is poisoned for the rest of the execution. A stack frame
//     that is left and used again is written by its owner: who still writes or reads it from outside races with that.
//
// Which executions (this file). The tree has two kinds of nodes: which thread takes the next step, and which value a
// load reads (a store's place, a spurious failure, a choice of the body). Exploration is depth first with replay.
// Dynamic partial order reduction (Flanagan and Godefroid's) adds an alternative only where two steps that depend on
// each other might have come in the other order; sleep sets leave executions that differ from an earlier one by the
// order of independent steps only. A load behind a store of another thread needs no alternative: that it reads an older
// store is among its values already. With a bound on preemptions, alternatives beyond it are given up, and for each of
// these the beginning of the running thread's turn is tried instead; sleep sets are off then.
//
// What it does not cover:
//   * Load buffering: a load never reads a store that comes later in the execution (the union of program order and
//     reads-from has no cycle, as in RC11). C++ allows it for relaxed operations, Arm for independent ones. But
//     options::refuse_load_buffering reports each store that an earlier load might have read in such an execution.
//   * Executions in which the order of sequentially consistent operations contradicts happens-before through weaker
//   ones
//     (C++20 allows them since Power shows them).
//   * memory_order_consume is acquire. Atomic objects are accessed with one size only.
//   * Staleness is bounded (options::stale_reads in a row), as are spurious failures and steps: a loop that spins for
//     ever on an old value is no execution of a real machine either.
//   * Accesses inside the C and C++ libraries, which are not instrumented; and what the compiler did not emit: the code
//     that was compiled is what is checked.
//
// Rejected: an atomic type of our own under the runtime's classes (every header would name it, public ones too, and
// plain members would stay unseen or need wrappers); a recording of real threads (misses what the machine at hand does
// not do: x86 shows no stale load); models in another language (a copy of the code, and copies drift).
#include "tests/model/checker/explorer.h"

#include <bit>
#include <numeric>

namespace rt_model {

void explorer::begin(bool random, std::uint64_t seed) {
  position_ = 0;
  last_scheduling_ = 0;
  events_.clear();
  clocks_ = {};
  objects_.clear();
  sequential_ = {};
  barriers_ = {};
  everything_ = {};
  random_ = random;
  if (random) generator_.seed(seed);
}

int explorer::pick_at_random(thread_set enabled, int running) {
  // Three in four steps go on with the same thread, so that long stretches without a switch come up as well.
  if (running >= 0 && (enabled >> running & 1) != 0 && (generator_() & 3) != 0) return running;
  auto skip = static_cast<int>(generator_() % static_cast<unsigned>(std::popcount(enabled)));
  for (; skip > 0; --skip) enabled &= enabled - 1;
  return std::countr_zero(enabled);
}

int explorer::choose(int count) {
  if (count <= 1) return 0;
  if (random_) {
    if ((generator_() & 1) != 0) return 0;
    return static_cast<int>(generator_() % static_cast<unsigned>(count));
  }
  if (position_ < nodes_.size()) {
    node& known = nodes_[position_++];
    if (known.scheduling || known.count != count) confusion_ = "another choice than the last time";
    return known.chosen < count ? known.chosen : 0;
  }
  node fresh;
  fresh.count = count;
  nodes_.push_back(fresh);
  ++position_;
  return 0;
}

int explorer::pick(thread_set enabled, int running, const std::array<operation, most_threads>& next) {
  if (random_) return pick_at_random(enabled, running);
  if (position_ < nodes_.size()) {
    node& known = nodes_[position_];
    if (!known.scheduling || known.enabled != enabled || known.running != running) {
      confusion_ = "other threads can go on than the last time";
      return -1;
    }
  } else {
    node fresh;
    fresh.scheduling = true;
    fresh.enabled = enabled;
    fresh.running = running;
    fresh.next = next;
    if (last_scheduling_ != 0) {
      const node& before = nodes_[last_scheduling_ - 1];
      fresh.preemptions = before.preemptions + (preempts(before, before.chosen) ? 1 : 0);
      if (bounds_.preemptions < 0 && bounds_.reduction) {
        thread_set candidates = (before.asleep | before.done) & ~(thread_set{1} << before.chosen);
        for (int i = 0; i < most_threads; ++i) {
          if ((candidates >> i & 1) != 0 && !dependent(before.next[i], before.next[before.chosen])) {
            fresh.asleep |= thread_set{1} << i;
          }
        }
      }
    }
    thread_set awake = enabled & ~fresh.asleep;
    if (awake == 0) return -1;
    bool goes_on = running >= 0 && (awake >> running & 1) != 0;
    fresh.chosen = goes_on ? running : std::countr_zero(awake);
    fresh.wanted = bounds_.reduction ? thread_set{1} << fresh.chosen : enabled;
    nodes_.push_back(fresh);
  }
  std::size_t at = position_++;
  last_scheduling_ = at + 1;
  int chosen = nodes_[at].chosen;
  look_for_races(chosen, next[chosen]);
  note_event(chosen, next[chosen], at);
  return chosen;
}

void explorer::want(std::size_t at, int thread) {
  node& there = nodes_[at];
  there.wanted |= thread_set{1} << thread;
  if (within_bounds(there, thread)) return;
  // Too many preemptions: where the running thread's turn began, it would be none more.
  for (std::size_t i = at; i-- > 0;) {
    node& earlier = nodes_[i];
    if (!earlier.scheduling) continue;
    if (earlier.chosen == earlier.running) continue;
    if ((earlier.enabled >> thread & 1) != 0) earlier.wanted |= thread_set{1} << thread;
    return;
  }
}

// Every race counts, not only the one with the last of the steps: with sleep sets the executions in which the others
// would show up may have been left out already, because an equivalent beginning was tried. (Two loads of one location,
// then a store to it: the store may have to come before the first of them, without ever coming between them.)
void explorer::look_at(const std::vector<std::uint32_t>& events, int thread, const operation& what) {
  trace_clock ordered = clocks_[thread];
  for (std::size_t i = events.size(); i-- > 0;) {
    const event& earlier = events_[events[i]];
    if (earlier.thread == thread || !dependent(earlier.what, what)) continue;
    if (what.may_be_stale() && earlier.what.writes()) continue;  // among the load's values
    if (events[i] < ordered.seen[earlier.thread]) continue;      // ordered by other steps
    node& there = nodes_[earlier.node];
    thread_set first = beginnings(events[i], thread, what) & there.enabled;
    if (first == 0) {
      for (int other = 0; other < most_threads; ++other) {
        if ((there.enabled >> other & 1) != 0) want(earlier.node, other);
      }
    } else if ((first & there.wanted) == 0) {
      want(earlier.node, (first >> thread & 1) != 0 ? thread : std::countr_zero(first));
    }
    // What is ordered before this one races with it, not with `what`. But one that waits for a lock was not able to
    // come before its release: it is the taking, ordered before that, that it races with.
    if (what.what != step::block && !what.lock) ordered.join(earlier.after);
  }
}

// With which threads the execution may begin that has all that came since the step `from` and does not depend on it,
// and then the next step of `thread`. (Not `thread` itself, if that step needs one of the others first: such a
// beginning would be another execution, and one that a sleep set may have ruled out.)
thread_set explorer::beginnings(std::uint32_t from, int thread, const operation& what) const {
  int left = events_[from].thread;
  std::vector<std::uint32_t> independent;
  thread_set first = 0;
  auto needs_others = [&](const trace_clock& known) {
    for (std::uint32_t other : independent) {
      if (known.seen[events_[other].thread] > other) return true;
    }
    return false;
  };
  for (auto i = from + 1; i < events_.size(); ++i) {
    if (events_[i].after.seen[left] > from) continue;
    if (!needs_others(events_[i].after)) first |= thread_set{1} << events_[i].thread;
    independent.push_back(i);
  }
  bool free = !needs_others(clocks_[thread]);
  for (std::uint32_t other : independent) {
    const operation& before = events_[other].what;
    if (dependent(before, what) && !(what.may_be_stale() && before.writes())) free = false;
  }
  if (free) first |= thread_set{1} << thread;
  return first;
}

void explorer::look_for_races(int thread, const operation& what) {
  if (what.what == step::barrier) {
    std::vector<std::uint32_t> all(events_.size());
    std::iota(all.begin(), all.end(), 0U);
    look_at(all, thread, what);
    return;
  }
  if (!barriers_.events.empty()) look_at(barriers_.events, thread, what);
  if (what.writes() || what.reads()) {
    auto found = objects_.find(what.address);
    if (found != objects_.end()) look_at(found->second.events, thread, what);
  }
  if (what.sequential() || what.sequential_fence()) look_at(sequential_.events, thread, what);
}

void explorer::note_event(int thread, const operation& what, std::size_t at) {
  auto index = static_cast<std::uint32_t>(events_.size());
  events_.push_back({thread, what, at, {}});
  trace_clock& mine = clocks_[thread];
  mine.join(what.what == step::barrier ? everything_ : barriers_.writes);
  if (what.writes() || what.reads()) {
    object_trace& object = objects_[what.address];
    // What a load that may read an old store depends on is only known when it has read (observed).
    if (!what.may_be_stale()) mine.join(object.writes);
    if (what.writes()) mine.join(object.reads);
    if (what.sequential()) mine.join(object.sequential_reads);
    if (what.sequential()) mine.join(sequential_.writes);
    mine.seen[thread] = index + 1;
    if (what.writes()) {
      object.writes.join(mine);
    } else {
      object.reads.join(mine);
      if (what.sequential()) object.sequential_reads.join(mine);
    }
    object.events.push_back(index);
    if (what.sequential()) {
      sequential_.reads.join(mine);
      sequential_.events.push_back(index);
    }
  } else if (what.sequential_fence()) {
    mine.join(sequential_.writes);
    mine.join(sequential_.reads);
    mine.seen[thread] = index + 1;
    sequential_.writes.join(mine);
    sequential_.events.push_back(index);
  } else {
    mine.seen[thread] = index + 1;
  }
  if (what.what == step::barrier) {
    barriers_.writes.join(mine);
    barriers_.events.push_back(index);
  }
  everything_.join(mine);
  events_[index].after = mine;
}

void explorer::observed(int thread, std::uint32_t store) {
  if (random_ || store == no_event) return;
  const event& read = events_[store];
  clocks_[thread].join(read.after);
  events_.back().after.join(read.after);
}

bool explorer::advance() {
  while (!nodes_.empty()) {
    node& last = nodes_.back();
    if (!last.scheduling) {
      if (last.chosen + 1 < last.count) {
        ++last.chosen;
        return true;
      }
    } else {
      last.done |= thread_set{1} << last.chosen;
      thread_set left = last.wanted & ~last.done & ~last.asleep & last.enabled;
      while (left != 0) {
        int candidate = std::countr_zero(left);
        left &= left - 1;
        if (!within_bounds(last, candidate)) continue;
        last.chosen = candidate;
        return true;
      }
    }
    nodes_.pop_back();
  }
  return false;
}

}  // namespace rt_model
