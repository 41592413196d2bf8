// G: a green thread's descriptor. It lives at the top of its own stack, so that a parked green thread touches one page.
//
// No constructor ever runs for one. The initial value of every member is zero, and so are the pages of a fresh slot
// (and of one whose memory was given back), while walkers may look at any slot at any moment: what they read, `where`
// and `member_of` first, are atomics that are only ever stored to.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/context/context.h"
#include "runtime/context/stack_pool.h"
#include "runtime/sched/park_word.h"

namespace rt::detail {

class attached_values;
struct cancel_domain;
struct coroutine_record;
struct frame_header;
struct group;
struct obeyed_context;
struct worker;

/// What a green thread waits for; the texts are Go's, where Go has the wait.
enum class wait_reason : std::uint8_t {
  none,
  chan_receive,
  chan_send,
  chan_receive_nil,
  chan_send_nil,
  select,
  select_no_cases,
  io_wait,
  sleep,
  mutex_lock,
  condition_wait,
  wait_group_wait,
  scope_wait,
  name_lookup,
  shared_mutex_lock,
  shared_mutex_lock_shared,
  semaphore_acquire,
  once_call,
  after_context,
  collection,
  cleanup,
  coroutines,
  other,
};
const char* to_text(wait_reason reason) noexcept;
/// Whether such a wait is ended by other green threads, by timers or by foreign threads alone, and never by the kernel:
/// no socket, no look-up of a name, no clock.
bool is_between_green_threads(wait_reason reason) noexcept;

/// Where a green thread is, for statistics, dumps and the collector; written only by whoever owns it at the moment.
/// `prepared`: its closure is being made; it does not count as there yet.
enum class phase : std::uint8_t { unused, runnable, running, waiting, blocking, prepared };
/// Whether there is a green thread: started and not ended.
inline bool is_alive(phase where) noexcept { return where != phase::unused && where != phase::prepared; }

/// Whether a green thread is a housekeeper of its group (housekeeper.h), and what becomes of one that waits when the
/// group ends: `stays` is waited for, `moves` goes on in the default group.
enum class housekeeping : std::uint8_t { none, stays, moves };

struct green_thread {
  context flow;
  park_word::word park{park_word::active};
  std::atomic<phase> where{phase::unused};
  std::atomic<wait_reason> waits_for{wait_reason::none};
  std::uint8_t shield = 0;      // cancellation_shields alive
  bool in_domain_list = false;  // linked in its scope's list
  bool frozen = false;          // its kernel thread sleeps in the preemption handler (preempt.cpp)
  bool ended_turn = false;      // it was put at the end of the ring at the end of its turn (turns.h)
  std::atomic<housekeeping> keeps_house{housekeeping::none};  // written before it is alive
  std::uint32_t thread_locks = 0;                             // nested rt::lock_os_thread
  std::atomic<bool> timed_wait{false};                        // its wait ends by itself: it has a deadline
  std::uint16_t os_locks = 0;                                 // locks of the system that it holds (os_locks.h)
  std::atomic<std::uint32_t> thread_switch{0};  // how often it was resumed; tells a dump that a walk was disturbed
  green_thread* link = nullptr;                 // next in a queue or a free list
  worker* bound = nullptr;                      // the only M that can run it: it is frozen there, or locked to it
  void (*entry)(void*) = nullptr;
  void* closure = nullptr;
  std::atomic<group*> member_of{nullptr};
  cancel_domain* domain = nullptr;
  green_thread* domain_next = nullptr;
  green_thread* domain_previous = nullptr;
  std::atomic<std::uint64_t> id{0};
  std::atomic<const char*> name{nullptr};
  std::atomic<std::int64_t> waiting_since{0};  // coarse steady clock, ns
  std::uint64_t ready_cycles = 0;              // sampled, or of one that ended_turn: when it became runnable; else 0
  // The two words of __cxa_eh_globals while it is not running: handlers entered, and exceptions in flight.
  void* caught_exceptions = nullptr;
  unsigned int uncaught_exceptions = 0;
  std::uint32_t size_class = 0;
  char* stack_base = nullptr;  // of the slot, guard included
  std::uint32_t slot_index = 0;
  // While it is frozen or held: what the signal's handler was given (os/signal.h), with all registers. Else null.
  const void* interrupted = nullptr;
  std::atomic<green_thread*> scan_link{nullptr};  // of scan_list.h
  std::atomic<bool> in_scan_list{false};
  obeyed_context* obeyed = nullptr;   // the contexts that it has bound to itself, innermost first
  attached_values* values = nullptr;  // of rt::local; null when it has none
  coroutine_record* carried = nullptr;         // the coroutine that runs on its stack (coroutine_crew.h)
  std::atomic<frame_header*> frames{nullptr};  // of coroutines, that change (frame_list.h)

  std::size_t slot_size() const noexcept { return stack_pool::slot_size(size_class); }
  char* stack_low() const noexcept { return stack_base + stack_pool::guard_size(size_class); }
  char* stack_high() const noexcept {
    return const_cast<char*>(reinterpret_cast<const char*>(this));  // the stack begins just below the descriptor
  }
};

/// Where the descriptor of a slot lies. The place varies from slot to slot over 8 cache lines; else the descriptors of
/// all green threads would compete for the same sets of the L1 cache.
inline green_thread* descriptor_of(char* slot_base, std::size_t slot_size, std::uint32_t index) noexcept {
  constexpr std::size_t line = 64;
  constexpr std::size_t descriptor = (sizeof(green_thread) + line - 1) / line * line;
  char* place = slot_base + slot_size - descriptor - (index * 5 % 8) * line;
  return reinterpret_cast<green_thread*>(place);
}

static_assert(sizeof(green_thread) <= 256 || under_address_sanitizer || under_thread_sanitizer,
              "a parked green thread must fit into one page");

}  // namespace rt::detail
