// The waiters of mutexes and their kin, which stand in a table beside them, found by address (the idea of WebKit's
// parking lot).
//
// What is waited for is one word, and it changes under the bucket's lock as long as it says that somebody waits. So the
// store that gives it up is the last touch of the primitive, and whoever gets it next may destroy it at once: the lock
// that is still to be unlocked, and the list, are not part of it.
//
// The protocol of all of them. Waiting: under the bucket's lock try once more, else set the "waited for" bit in the
// word and join the queue; then await_outcome. Serving: under the bucket's lock take waiters out and claim them (one
// that cannot be claimed is giving up: pass over it), store the word with the bit if some are left; give the lock back
// and tell the claimed ones. Giving up: under the bucket's lock leave the queue, and put the word right if it was the
// last, or if others wait only for what the one that leaves would have had before them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "runtime/os/spin_lock.h"
#include "runtime/sync/waiter.h"

namespace rt::detail {

// *Whose fault*. The profile of mutexes charges each unlock with the time that all waiters have waited since the unlock
// before, so that one that keeps many waiting for long shows as what it is. Walking over all of them at each unlock
// would make n unlocks cost n^2, so the first waiter of a primitive carries the sum for all (Go takes the mean of the
// first and the last instead). Those that began to wait while the profile was off are not in it.

/// What those who wait for one primitive have waited since it was last given up, and are yet to be charged for. Times
/// are of os::cycles().
struct wait_account {
  std::uint64_t waiters = 0;
  std::uint64_t since = 0;    // the sum of their beginnings, modulo 2^64
  std::uint64_t charged = 0;  // when it was last given up, for those who waited then
};

struct table_waiter : waiter {
  const void* address = nullptr;
  std::int64_t number = 0;  // what the primitive wants to know of its waiter
  bool of_mutex = false;    // the primitive is a mutex
  std::uint64_t since = 0;  // when it began to wait, if it is in the account
  wait_account account;     // of the first waiter of a primitive
};

struct alignas(64) wait_bucket {
  os::spin_lock lock{os::lock_rank::wait_list};
  waiter_queue queue;  // of all primitives that share the bucket

  void push(table_waiter& one) noexcept {
    if (one.since != 0) {
      table_waiter* head = first(one.address);
      begin(head != nullptr ? *head : one, one.since);
    }
    queue.push(one);
  }
  /// Before those who came later.
  void push_front(table_waiter& one) noexcept {
    if (table_waiter* head = first(one.address); head != nullptr) {
      one.account = std::exchange(head->account, {});
    }
    if (one.since != 0) begin(one, one.since);
    queue.push_front(one);
  }
  void remove(table_waiter& one) noexcept {
    if (!one.queued) return;
    table_waiter* head = one.since != 0 ? first(one.address) : &one;
    if (one.since != 0) {
      --head->account.waiters;
      head->account.since -= one.since > head->account.charged ? one.since : head->account.charged;
    }
    table_waiter* next = head == &one && one.account.waiters != 0 ? after(one) : nullptr;
    if (next != nullptr) next->account = one.account;
    queue.remove(one);
  }
  /// The primitive is about to be given up at `now`: how long its waiters have waited together since the last time.
  std::uint64_t charge(const void* address, std::uint64_t now) noexcept {
    table_waiter* head = first(address);
    if (head == nullptr || head->account.waiters == 0) return 0;
    auto waited = static_cast<std::int64_t>(head->account.waiters * now - head->account.since);
    head->account.since = head->account.waiters * now;
    head->account.charged = now;
    return waited > 0 ? static_cast<std::uint64_t>(waited) : 0;  // cores may differ by some cycles
  }

  /// Takes out the waiter of `address` that has waited longest and claims it, for tell(); null if there is none.
  table_waiter* claim_first(const void* address) noexcept {
    while (table_waiter* one = first(address)) {
      remove(*one);
      if (one->claim()) return one;
    }
    return nullptr;
  }
  /// The waiter of `address` that has waited longest, or the one after `before`; null if there is none.
  table_waiter* first(const void* address) const noexcept { return find(queue.front(), address); }
  static table_waiter* after(const table_waiter& before) noexcept { return find(before.next, before.address); }

 private:
  static void begin(table_waiter& head, std::uint64_t since) noexcept {
    ++head.account.waiters;
    head.account.since += since;
  }
  static table_waiter* find(waiter* from, const void* address) noexcept {
    for (waiter* one = from; one != nullptr; one = one->next) {
      auto* candidate = static_cast<table_waiter*>(one);
      if (candidate->address == address) return candidate;
    }
    return nullptr;
  }
};

/// Empty whenever no green thread waits: a waiter's frame outlives its entry.
wait_bucket& wait_bucket_of(const void* address) noexcept;

}  // namespace rt::detail
