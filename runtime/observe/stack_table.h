// The records of a profile: a table of stacks, as in Go's runtime/mprof.go.
//
// A table has a fixed number of places, in pages of its own: records are made where malloc may not be called, and by
// green threads of all tasks, whose number of places has no bound. One that finds no place is counted in a record
// without frames, so the sums stay right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "runtime/observe/own_frames.h"
#include "runtime/os/page_allocator.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"

namespace rt::detail {

inline constexpr std::size_t most_profile_frames = 32;   // Go's number, until it was made a setting
inline constexpr std::size_t longest_profile_task = 64;  // bytes of its name that are told apart; names are shorter

/// Of one stack in one task. `Figures` are the profile's, zero at first.
template <class Figures>
struct stack_record {
  Figures figures;
  std::uint64_t key;  // a hash of all below; 0: a free place
  std::uint32_t task_size;
  std::uint32_t depth;
  char task[longest_profile_task];
  void* frames[most_profile_frames];

  bool is_of(const stack_record& other) const noexcept {
    return key == other.key && depth == other.depth && task_size == other.task_size &&
           std::memcmp(task, other.task, task_size) == 0 &&
           std::memcmp(frames, other.frames, depth * sizeof(void*)) == 0;
  }
};

template <class Figures>
class stack_table {
 public:
  using record = stack_record<Figures>;

  /// Gets the memory, the first time. @throws std::bad_alloc
  void prepare() {
    {
      os::spin_guard guard(lock_);
      if (records_ != nullptr) return;
    }
    record* fresh = os::page_allocator<record>::allocate(places);
    {
      os::spin_guard guard(lock_);
      if (records_ == nullptr) std::swap(records_, fresh);
    }
    if (fresh != nullptr) os::page_allocator<record>::deallocate(fresh, places);
  }

  /// Changes the figures of the calling green thread's stack, without its innermost `left_out` frames, and gives their
  /// record, which stays where it is. Inlined, so that it adds no frame. Off green threads it is the one without
  /// frames.
  template <class Change>
  __attribute__((always_inline)) record& note(std::size_t left_out, const Change& change) noexcept {
    record mine;
    mine.depth = 0;
    mine.task_size = 0;
    if (current_green_thread() != nullptr) {
      void* frames[most_profile_frames + most_left_out];
      std::size_t found = own_frames(frames, most_profile_frames + left_out);
      for (std::size_t i = left_out; i < found; ++i) mine.frames[mine.depth++] = frames[i];
      group* owner = current_group();
      std::string_view task = owner != nullptr ? std::string_view(owner->name) : std::string_view();
      mine.task_size = static_cast<std::uint32_t>(task.copy(mine.task, longest_profile_task));
    }
    std::uint64_t key = 1;
    for (std::uint32_t i = 0; i < mine.depth; ++i) key = mixed(key, reinterpret_cast<std::uintptr_t>(mine.frames[i]));
    for (std::uint32_t i = 0; i < mine.task_size; ++i) key = mixed(key, static_cast<unsigned char>(mine.task[i]));
    mine.key = key != 0 ? key : 1;
    os::spin_guard guard(lock_);
    record& one = mine.depth != 0 ? place_of(mine) : rest_;
    change(one.figures);
    return one;
  }

  /// Changes the figures of a record that note() has given. Any thread.
  template <class Change>
  void change(record& one, const Change& change) noexcept {
    os::spin_guard guard(lock_);
    change(one.figures);
  }

  /// Calls `look` with a copy of each record. Each is copied on its own: who notes something waits for the copy of one
  /// at most, and `look` may call malloc.
  template <class Look>
  void for_each(const Look& look) {
    record one;
    for (std::size_t i = 0; i <= places; ++i) {
      {
        os::spin_guard guard(lock_);
        if (records_ == nullptr) return;
        const record& there = i < places ? records_[i] : rest_;
        if (i < places && there.key == 0) continue;
        one = there;
      }
      look(one);
    }
  }

 private:
  static constexpr std::size_t most_left_out = 4;
  // Places of a table, and how many of them are filled, so that looking for one ends soon. Programs have some hundreds.
  static constexpr std::size_t places = 4096;
  static constexpr std::size_t most_records = places / 4 * 3;

  static std::uint64_t mixed(std::uint64_t sum, std::uint64_t word) noexcept {
    sum = (sum ^ word) * 0x9e3779b97f4a7c15U;  // 2^64 / golden ratio
    return sum ^ (sum >> 29);
  }

  record& place_of(const record& wanted) noexcept RT_REQUIRES(lock_) {
    for (std::size_t i = wanted.key % places;; i = (i + 1) % places) {
      record& there = records_[i];
      if (there.key == 0) {
        if (count_ == most_records) return rest_;
        ++count_;
        there = wanted;
        there.figures = Figures{};
        return there;
      }
      if (there.is_of(wanted)) return there;
    }
  }

  os::spin_lock lock_{os::lock_rank::none};
  record* records_ RT_GUARDED_BY(lock_) = nullptr;  // for good
  std::size_t count_ RT_GUARDED_BY(lock_) = 0;
  record rest_ RT_GUARDED_BY(lock_){};
};

}  // namespace rt::detail
