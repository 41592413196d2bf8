// The poller: one edge-triggered epoll instance for the process.
//
// It keeps nothing of its own between two runs of the runtime but the counts of the statistics; what belongs to a
// socket is in its poll descriptor. A wake() that nobody consumed ends the first wait of the next run early, which is
// harmless.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/net/poll_descriptor.h"
#include "runtime/sched/poller.h"

namespace rt::net::detail {

class epoll_poller final : public rt::detail::poller {
 public:
  /// `exact_timeouts` false: without epoll_pwait2, as on kernels before 5.11. @throws std::system_error
  explicit epoll_poller(bool exact_timeouts = true);
  ~epoll_poller() override;
  epoll_poller(const epoll_poller&) = delete;
  epoll_poller& operator=(const epoll_poller&) = delete;

  void wait(std::int64_t timeout, rt::detail::ready_list& ready) noexcept override;
  void wake() noexcept override;
  bool has_waiters() const noexcept override {
    return waiting_[0].load(std::memory_order_relaxed) + waiting_[1].load(std::memory_order_relaxed) != 0;
  }

  /// Registers `fd` for both directions; its events carry `tag`. 0 or an errno (EEXIST: it is registered).
  int add(int fd, std::uint64_t tag) noexcept;
  /// Takes it out. Closing would do that too, but not when another process has a copy of the descriptor.
  void remove(int fd) noexcept;

  /// A green thread begins and ends to wait; for has_waiters and the statistics.
  void add_waiter(direction side) noexcept { waiting_[static_cast<int>(side)].fetch_add(1, std::memory_order_relaxed); }
  void remove_waiter(direction side) noexcept {
    waiting_[static_cast<int>(side)].fetch_sub(1, std::memory_order_relaxed);
  }

  std::uint64_t waiters(direction side) const noexcept {
    return waiting_[static_cast<int>(side)].load(std::memory_order_relaxed);
  }
  /// Calls of wait(), and events that they returned, since the process started.
  std::uint64_t polls() const noexcept { return polls_.load(std::memory_order_relaxed); }
  std::uint64_t events() const noexcept { return events_.load(std::memory_order_relaxed); }

 private:
  int wait_for_events(void* events, std::int64_t timeout) noexcept;

  int epoll_ = -1;
  int wake_event_ = -1;
  std::atomic<bool> exact_timeouts_;
  std::atomic<std::uint32_t> wake_pending_{0};  // the event is signalled, or about to be
  alignas(64) std::atomic<std::uint64_t> waiting_[2]{};
  alignas(64) std::atomic<std::uint64_t> polls_{0};
  std::atomic<std::uint64_t> events_{0};
};

/// The poller of the process, made at the first call and never destroyed. @throws std::system_error
epoll_poller& shared_poller();
/// The same, or null before it was made.
const epoll_poller* shared_poller_if_made() noexcept;

}  // namespace rt::net::detail

namespace rt::detail {

/// What the scheduler is given. @throws std::system_error when the system has no descriptors for it
poller& net_poller();

}  // namespace rt::detail
