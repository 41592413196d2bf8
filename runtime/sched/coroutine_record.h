// The record of a stackless green thread: of a coroutine that rt::go was given, with all the coroutines that it awaits.
//
// It is to a coroutine what the descriptor (green_thread.h) is to a green thread with a stack, and obeys the same rules
// where they meet others: it parks by the same word, its memory is never given back, so that a timer or a canceller may
// keep its address for longer than it lives, and walkers find it without a lock and read atomics alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "rt/coroutine_frame.h"
#include "runtime/os/memory.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/green_thread.h"
#include "runtime/sched/park_word.h"

namespace rt::detail {

class coroutine_crew;

struct coroutine_record {
  park_word::word park{park_word::active};  // never scanned: its frames are objects (frame_list.h)
  std::atomic<phase> where{phase::unused};  // runnable, running (also while its carrier waits) or waiting
  std::atomic<wait_reason> waits_for{wait_reason::none};
  std::atomic<bool> timed_wait{false};          // as green_thread::timed_wait
  std::uint8_t shield = 0;                      // of the carrier's descriptor, while it is not carried, as below
  std::atomic<std::uint32_t> resumed{0};        // how often it was taken up
  std::atomic<coroutine_crew*> crew{nullptr};   // of the task; null: there is no coroutine
  std::atomic<green_thread*> carrier{nullptr};  // on whose stack it runs; null: it does not
  std::atomic<std::uint64_t> id{0};
  std::atomic<const char*> name{nullptr};
  std::atomic<std::int64_t> waiting_since{0};  // coarse steady clock, ns
  std::atomic<void*> code{nullptr};            // of the innermost coroutine; for dumps
  coroutine_record* link = nullptr;            // in the crew's queue, or free
  coroutine_frame* outermost = nullptr;
  coroutine_frame* innermost = nullptr;  // the one that runs when it is taken up; null: all have ended
  bool (*is_over)(void* wait, const green_thread& carrier) noexcept = nullptr;  // null: it does not wait
  void* wait = nullptr;
  obeyed_context* obeyed = nullptr;
  attached_values* values = nullptr;
};

/// All records of the process.
class coroutine_table {
 public:
  /// A record that is nobody's. Null when the system has no memory. Any thread.
  coroutine_record* take() noexcept;
  void give(coroutine_record& one) noexcept;
  /// Calls `visit(record)` for each that was ever taken. Any thread.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (block* one = first_.load(std::memory_order_acquire); one != nullptr; one = one->next) {  // pairs with take
      const std::size_t count = one->count.load(std::memory_order_acquire);                       // pairs with take
      for (std::size_t i = 0; i < count; ++i) visit(one->records()[i]);
    }
  }
  /// Obtained from the system.
  std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct alignas(64) block {
    block* next;
    std::atomic<std::size_t> count;
    coroutine_record* records() noexcept { return reinterpret_cast<coroutine_record*>(this + 1); }
  };
  // Address space that is asked for at once, in bytes: some seven thousand records. Memory is committed by touch.
  static constexpr std::size_t block_size = std::size_t{1} << 20;
  static constexpr std::size_t records_in_block = (block_size - sizeof(block)) / sizeof(coroutine_record);

  os::spin_lock lock_{os::lock_rank::none};
  coroutine_record* free_ RT_GUARDED_BY(lock_) = nullptr;
  std::atomic<block*> first_{nullptr};
  std::atomic<std::size_t> bytes_{0};
};
coroutine_table& coroutines() noexcept;

/// Wakes it, or leaves the token, as unpark does. Any thread; never blocks.
void unpark(coroutine_record& one) noexcept;
/// Has it look again whether its wait has been given up, also one in which it keeps its carrier. As unpark.
void unpark_with_carrier(coroutine_record& one) noexcept;

}  // namespace rt::detail
