#include "runtime/net/epoll_poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <system_error>

#include "runtime/net/descriptor_table.h"

namespace rt::net::detail {

namespace {

// Go's number: a batch that is worth the call and fits on a stack.
constexpr int events_a_call = 128;
// No descriptor has this tag: the table would need 2^32 descriptors.
constexpr std::uint64_t wake_tag = UINT64_MAX;
constexpr std::int64_t nanoseconds_a_second = 1'000'000'000;
constexpr std::int64_t nanoseconds_a_millisecond = 1'000'000;

}  // namespace

epoll_poller::epoll_poller(bool exact_timeouts) : exact_timeouts_(exact_timeouts) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) throw std::system_error(errno, std::system_category(), "the network poller: epoll_create1");
  wake_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event interest{};
  interest.events = EPOLLIN;  // level-triggered: it stays until the wait that blocks has taken it
  interest.data.u64 = wake_tag;
  if (wake_event_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_event_, &interest) != 0) {
    int error = errno;
    if (wake_event_ >= 0) close(wake_event_);
    close(epoll_);
    throw std::system_error(error, std::system_category(), "the network poller: eventfd");
  }
}

epoll_poller::~epoll_poller() {
  close(wake_event_);
  close(epoll_);
}

int epoll_poller::add(int fd, std::uint64_t tag) noexcept {
  epoll_event interest{};
  interest.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | static_cast<std::uint32_t>(EPOLLET);
  interest.data.u64 = tag;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &interest) == 0 ? 0 : errno;
}

void epoll_poller::remove(int fd) noexcept {
  epoll_event unused{};
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, &unused);
}

int epoll_poller::wait_for_events(void* buffer, std::int64_t timeout) noexcept {
  auto* events = static_cast<epoll_event*>(buffer);
  if (timeout == 0) return epoll_wait(epoll_, events, events_a_call, 0);
#ifdef SYS_epoll_pwait2
  if (exact_timeouts_.load(std::memory_order_relaxed)) {
    // The kernel's struct has 64-bit fields on every architecture that the runtime knows; so has timespec.
    timespec length{};
    length.tv_sec = static_cast<time_t>(timeout / nanoseconds_a_second);
    length.tv_nsec = static_cast<long>(timeout % nanoseconds_a_second);
    long count = syscall(SYS_epoll_pwait2, epoll_, events, events_a_call, timeout < 0 ? nullptr : &length, nullptr, 0);
    // A sandbox that does not know the call answers EPERM.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    exact_timeouts_.store(false, std::memory_order_relaxed);
  }
#endif
  int milliseconds = -1;
  if (timeout > 0) {
    std::int64_t rounded_up = (timeout - 1) / nanoseconds_a_millisecond + 1;  // never early
    milliseconds = static_cast<int>(std::min<std::int64_t>(rounded_up, INT_MAX));
  }
  return epoll_wait(epoll_, events, events_a_call, milliseconds);
}

void epoll_poller::wait(std::int64_t timeout, rt::detail::ready_list& ready) noexcept {
  epoll_event events[events_a_call];
  polls_.fetch_add(1, std::memory_order_relaxed);
  int count = wait_for_events(events, timeout);
  if (count <= 0) return;  // EINTR too: the caller computes its timeout anew
  std::uint64_t reported = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[i];
    if (event.data.u64 == wake_tag) {
      // Only the wait that blocks takes it: a look with timeout 0 must not swallow what is meant for a sleeper.
      if (timeout == 0) continue;
      std::uint64_t times;
      [[maybe_unused]] ssize_t taken = read(wake_event_, &times, sizeof times);
      // Acquire: this thread sees what a waker published that found the flag set. Only after the read, or a signal that
      // comes between the two would be taken while its flag stays.
      wake_pending_.exchange(0, std::memory_order_acq_rel);
      continue;
    }
    ++reported;
    poll_descriptor* one = shared_descriptors().find(event.data.u64);
    if (one == nullptr) continue;
    constexpr std::uint32_t broken = EPOLLHUP | EPOLLERR;
    if ((event.events & (EPOLLIN | EPOLLRDHUP | broken)) != 0) one->report(direction::read, ready);
    if ((event.events & (EPOLLOUT | broken)) != 0) one->report(direction::write, ready);
  }
  if (reported != 0) events_.fetch_add(reported, std::memory_order_relaxed);
}

void epoll_poller::wake() noexcept {
  if (wake_pending_.exchange(1, std::memory_order_acq_rel) != 0) return;  // pairs with wait: it will see what we wrote
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_event_, &one, sizeof one);  // cannot fail below 2^64 - 1 pending
}

namespace {
std::atomic<const epoll_poller*> made{nullptr};
}  // namespace

epoll_poller& shared_poller() {
  static epoll_poller& instance = [&]() -> epoll_poller& {
    auto* fresh = new epoll_poller();
    made.store(fresh, std::memory_order_release);  // pairs with shared_poller_if_made
    return *fresh;
  }();
  return instance;
}

const epoll_poller* shared_poller_if_made() noexcept {
  return made.load(std::memory_order_acquire);  // pairs with shared_poller
}

}  // namespace rt::net::detail

namespace rt::detail {

poller& net_poller() { return net::detail::shared_poller(); }

}  // namespace rt::detail
