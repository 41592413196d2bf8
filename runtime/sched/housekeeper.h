// Green threads that the runtime starts in a task on the task's behalf: they call the destructors of its dead objects
// and its clean-up functions.
//
// A housekeeper is a green thread of its group like any other: its CPU time, its memory, its exceptions and its faults
// are the group's. But it does not make a task alive: it is not counted by group::live(), nor among the process's green
// threads (Go's system goroutines are not, either), and one that has nothing to do is no party to a deadlock. Whoever
// starts one may be a thread that has nothing to do with the group, so there is a gate, which the end of the group
// closes (group::end_housekeepers):
//
//   1 Who starts a housekeeper has passed the gate (begin). From then on until end() the group exists.
//   2 After the gate is closed none begins. Those that are there are told by is_closing(), and by an unpark, and leave
//     as soon as they are done with what they are at.
//   3 One that `moves` and still waits after a while goes on as a housekeeper of the default group; so nothing that a
//     destructor waits for holds up the end of a task for ever. Its stack is claimed for that as for a scan
//     (park_word.h). One that computes, or has called rt::blocking, is waited for, as every green thread of a task is.
//
// The race by name: *moved while it waits*. After each call of foreign code a housekeeper that moves looks whether it
// still belongs to its group; if not, it touches nothing of it any more.
//
// Rejected: a group of its own beside each task's, to which the housekeepers belong: it would need the other one's
// heap, limits and share of the CPU, and the sums of both in each figure. Unwinding a destructor that waits:
// destructors are noexcept, and the way out of them is the end of the process.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "rt/go.h"
#include "runtime/sched/green_thread.h"

namespace rt::detail {

struct group;

/// How many there are in a group, and whether more may begin.
class housekeeper_gate {
 public:
  /// False when the gate is closed. Otherwise end() is due: the end of a started housekeeper does that. Any thread.
  bool begin() noexcept {
    // Acquire and release: pairs with close and count.
    if ((word_.fetch_add(1, std::memory_order_acq_rel) & closed) == 0) return true;
    end();
    return false;
  }
  void end() noexcept { word_.fetch_sub(1, std::memory_order_release); }  // pairs with count
  void close() noexcept { word_.fetch_or(closed, std::memory_order_acq_rel); }
  bool is_closed() const noexcept { return (word_.load(std::memory_order_acquire) & closed) != 0; }
  /// After close(): 0 stays 0, but for a moment in which somebody finds the gate closed.
  std::uint32_t count() const noexcept { return word_.load(std::memory_order_acquire) & ~closed; }

 private:
  static constexpr std::uint32_t closed = std::uint32_t{1} << 31;
  std::atomic<std::uint32_t> word_{0};
};

/// As spawn_prepare, without regard to the caller's limit of green threads.
spawn_slot prepare_housekeeper(std::size_t closure_size, std::size_t closure_align, void (*entry)(void*),
                               const go_options& options);
/// As spawn_start, in the group whose gate the caller has passed.
void start_housekeeper(void* green_thread, group& of, housekeeping at_the_end) noexcept;

/// Starts `function` as a housekeeper of `of`, whose gate the caller has passed; the end of the green thread is the end
/// for the gate, too. @throws std::system_error as rt::go: then nothing has started, and the caller owes end().
template <class Function>
void spawn_housekeeper(group& of, housekeeping at_the_end, const go_options& options, Function&& function) {
  using closure_type = closure<Function>;
  static_assert(std::is_nothrow_constructible_v<std::decay_t<Function>, Function&&>);
  spawn_slot slot = prepare_housekeeper(sizeof(closure_type), alignof(closure_type), &closure_type::run, options);
  ::new (slot.closure) closure_type{std::forward<Function>(function), {}};
  start_housekeeper(slot.green_thread, of, at_the_end);
}

}  // namespace rt::detail
