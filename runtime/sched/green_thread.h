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

namespace rt::detail {

struct cancel_domain;
struct group;
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
  other,
};
const char* to_text(wait_reason reason) noexcept;

/// Where a green thread is, for statistics and dumps; written only by whoever owns it at the moment.
enum class phase : std::uint8_t { unused, runnable, running, waiting, blocking };

/// The word that parking and unparking agree on (see park.h).
namespace park_word {
inline constexpr std::uint32_t active = 0;    // running, in a run queue, or between the two
inline constexpr std::uint32_t parked = 1;    // off its CPU, in no queue
inline constexpr std::uint32_t notified = 2;  // bit: an unpark came while active; the next park returns at once
}  // namespace park_word

struct green_thread {
  context flow;
  std::atomic<std::uint32_t> park{park_word::active};
  std::atomic<phase> where{phase::unused};
  std::atomic<wait_reason> waits_for{wait_reason::none};
  std::uint8_t shield = 0;                      // cancellation_shields alive
  bool in_domain_list = false;                  // linked in its scope's list
  std::atomic<std::uint32_t> thread_switch{0};  // how often it was resumed; tells a dump that a walk was disturbed
  green_thread* link = nullptr;                 // next in a queue or a free list
  void (*entry)(void*) = nullptr;
  void* closure = nullptr;
  std::atomic<group*> member_of{nullptr};
  cancel_domain* domain = nullptr;
  green_thread* domain_next = nullptr;
  green_thread* domain_previous = nullptr;
  std::uint64_t id = 0;
  std::atomic<const char*> name{nullptr};
  std::atomic<std::int64_t> waiting_since{0};  // coarse steady clock, ns
  std::uint64_t ready_cycles = 0;              // sampled: when it became runnable, 0 when not sampled
  // The two words of __cxa_eh_globals while it is not running: handlers entered, and exceptions in flight.
  void* caught_exceptions = nullptr;
  unsigned int uncaught_exceptions = 0;
  std::uint32_t size_class = 0;
  char* stack_base = nullptr;  // of the slot, guard included
  std::uint32_t slot_index = 0;

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
