// Cancellation: which green threads a cancel reaches.
//
// Each task has one root domain; each rt::scope is a domain below the one of the green thread that made it. cancel()
// sets the flag of the domain and of all domains below, then unparks their green threads, which find the flag at their
// park site and throw rt::cancelled. A new child takes its flag from its parent under the parent's lock, so a cancel
// that runs at the same time either sees the child or has already set the flag that the child copies.
//
// The green threads of a scope are linked in its list (the scope must wait for them anyway). Those of a root domain are
// not: spawning stays free of locks, and a cancel finds them by walking over all stacks.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>

#include "runtime/os/spin_lock.h"

namespace rt::detail {

struct green_thread;
struct group;

struct cancel_domain {
  /// The root domain of a group.
  explicit cancel_domain(group* root_of) noexcept : owner(root_of), parent(nullptr) {}
  /// A scope below `above`.
  explicit cancel_domain(cancel_domain& above) noexcept;
  ~cancel_domain();
  cancel_domain(const cancel_domain&) = delete;
  cancel_domain& operator=(const cancel_domain&) = delete;

  bool is_cancelled() const noexcept { return cancelled.load(std::memory_order_acquire); }  // pairs with mark

  /// Cancels this domain and all below. Returns at once. Idempotent. Any thread may call it. Of a root, `later` (may be
  /// null) is not woken: the caller unparks it when it is to notice.
  void cancel(const green_thread* later = nullptr) noexcept;

  /// A green thread of a scope begins and ends. leave() touches nothing of the domain after it has let the waiter go.
  void join(green_thread& member) noexcept;
  void leave(green_thread& member) noexcept;
  /// Keeps the first exception of a scope's green threads and cancels the others.
  void fail(std::exception_ptr error) noexcept;

  group* const owner;
  cancel_domain* const parent;  // null for a root
  std::atomic<bool> cancelled{false};
  os::spin_lock lock{os::lock_rank::domain};
  cancel_domain* first_child RT_GUARDED_BY(lock) = nullptr;
  cancel_domain* next_sibling = nullptr;  // guarded by the parent's lock
  cancel_domain* previous_sibling = nullptr;
  green_thread* first_member RT_GUARDED_BY(lock) = nullptr;
  std::size_t member_count RT_GUARDED_BY(lock) = 0;
  green_thread* waiter RT_GUARDED_BY(lock) = nullptr;
  std::exception_ptr failure RT_GUARDED_BY(lock);

 private:
  void mark() noexcept;
};

}  // namespace rt::detail
