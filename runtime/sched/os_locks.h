// Locks of the system (pthread_mutex, pthread_rwlock, and std::mutex with them) that green threads hold while they
// wait.
//
// Who holds a std::mutex and parks leaves it locked for as long as others run on its kernel thread: they block that
// thread at the lock, and with it a whole processor, which at the worst is the one that would have run the holder. And
// after the wait it may go on with another kernel thread, from which a recursive mutex cannot even be unlocked. So a
// program should know. posix/os_locks.cpp counts locks in the green thread that takes them; what is here notices the
// park, and keeps where the locks were taken.
//
// The count is exact and belongs to the green thread. The places stand in the M, for they cost more room than a
// descriptor has: those of the locks of the green thread that runs on it, in the order of locking. A green thread that
// leaves the M with locks in its hands takes its places along on its own stack, so no other one ever sees them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rt::detail {

/// Where a green thread took a lock that it still holds.
struct held_os_lock {
  const void* lock;
  void* caller;  // the return address of the lock's call, and that of its caller; null: not known
  void* callers_caller;
  const void* frame;  // the caller's frame: frames above it are the same when it parks
};

/// 4: more locks at once are hardly ever held; what is more is counted, without its place.
inline constexpr std::size_t remembered_os_locks = 4;
using held_os_locks = std::array<held_os_lock, remembered_os_locks>;

/// Told about a park with locks held, on the green thread that is about to park: the places of the first `count` of
/// them. Must not park.
using os_lock_hook = void (*)(const held_os_locks& held, std::size_t count) noexcept;
/// Registered once, before the first green thread.
extern std::atomic<os_lock_hook> on_park_with_os_lock;

/// The hook that writes both stacks to the task's log (to standard error in a plain program), once for each pair of
/// places. In observe/os_lock_report.cpp.
void report_os_locks(const held_os_locks& held, std::size_t count) noexcept;

}  // namespace rt::detail
