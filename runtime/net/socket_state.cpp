#include "runtime/net/socket_state.h"

#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "rt/net.h"
#include "runtime/net/descriptor_table.h"
#include "runtime/net/system_calls.h"
#include "runtime/sched/clock.h"

namespace rt::net::detail {

namespace {

constexpr std::int64_t millisecond = 1'000'000;
// How long accept pauses when the process or the system has no descriptors left: Go's numbers (net/http).
constexpr std::int64_t first_accept_pause = 5 * millisecond;
constexpr std::int64_t longest_accept_pause = 1'000 * millisecond;
// A unix socket whose listener's queue is full refuses at once and reports nothing when there is room again.
constexpr std::int64_t first_connect_pause = 1 * millisecond;
constexpr std::int64_t longest_connect_pause = 50 * millisecond;

std::error_code system_error_of(ssize_t negated) noexcept {
  return {static_cast<int>(-negated), std::system_category()};
}

bool would_block(ssize_t result) noexcept { return result == -EAGAIN || result == -EWOULDBLOCK; }

// Errors of accept that are those of one connection, gone before it was accepted, and say nothing about the next one
// (accept(2), "Error handling").
bool concerns_one_connection(int result) noexcept {
  switch (-result) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

bool is_out_of_resources(int result) noexcept {
  return result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM;
}

}  // namespace

// An operation's stay inside the gate.
class socket_state::turn {
 public:
  turn(socket_state& of, direction side, std::error_code& error)
      : of_(of), side_(side), entered_(of.gate_.enter(side)) {
    if (!entered_) error = errc::closed;
  }
  ~turn() {
    if (entered_ && of_.gate_.leave(side_)) of_.destroy();
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  explicit operator bool() const noexcept { return entered_; }

 private:
  socket_state& of_;
  const direction side_;
  const bool entered_;
};

socket_state::socket_state(owned_fd fd, const socket_address& address, connection_slot slot)
    : fd_(fd.get()), descriptor_(&shared_descriptors().acquire()), address_(address), slot_(std::move(slot)) {
  fd.release();
}

socket_state::~socket_state() { close(); }

void socket_state::close() noexcept {
  if (!gate_.close()) return;
  remove_socket_file();
  descriptor_->evict();
  if (gate_.leave_shared()) destroy();
}

// The last operation has left: nobody else knows the descriptor number any more.
void socket_state::destroy() noexcept {
  descriptor_->unregister(fd_);
  system_call::close(fd_);
  shared_descriptors().release(*descriptor_);
  slot_.give_back();
}

void socket_state::own_socket_file(const struct stat& file) noexcept { socket_file_ = {file.st_dev, file.st_ino}; }

void socket_state::remove_socket_file() noexcept {
  if (!socket_file_) return;
  // Another process may have put its own socket there meanwhile.
  const char* path = reinterpret_cast<const sockaddr_un*>(address_.data())->sun_path;
  struct stat now;
  if (::lstat(path, &now) != 0) return;
  if (now.st_dev == socket_file_->device && now.st_ino == socket_file_->number) ::unlink(path);
}

// ---------------------------------------------------------------------------------------------------------------------
// The frame of every operation that may wait

bool socket_state::begin(direction side, std::error_code& error) {
  rt::detail::poll_attention(rt::detail::current_worker());
  rt::detail::throw_if_cancellation_pending(*rt::detail::current_green_thread());
  if (descriptor_->deadline_passed(side)) {
    error = errc::timed_out;
    return false;
  }
  descriptor_->discard_ready(side);
  return true;
}

// True when another try is worth while: something was reported, or `until` has passed.
bool socket_state::wait(direction side, std::int64_t until, std::error_code& error) {
  if (int failed = descriptor_->register_with_poller(fd_); failed != 0) {
    error = {failed, std::system_category()};
    return false;
  }
  switch (descriptor_->wait(side, until)) {
    case wait_result::evicted:
      error = errc::closed;
      return false;
    case wait_result::timed_out:
      error = errc::timed_out;
      return false;
    case wait_result::ready:
    case wait_result::interval_over:
      break;
  }
  return true;
}

// Calls until the result is neither "would block" nor "interrupted". Negative with `error` set.
template <class Call>
ssize_t socket_state::repeat(direction side, std::error_code& error, Call call) {
  while (true) {
    ssize_t result = call();
    if (result >= 0) return result;
    if (result == -EINTR) continue;
    if (!would_block(result)) {
      error = system_error_of(result);
      return -1;
    }
    if (!wait(side, no_deadline, error)) return -1;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading and writing

std::size_t socket_state::receive(void* buffer, std::size_t size, std::error_code& error) {
  turn mine(*this, direction::read, error);
  if (!mine || !begin(direction::read, error) || size == 0) return 0;
  ssize_t count = repeat(direction::read, error, [&] { return system_call::receive(fd_, buffer, size); });
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

std::size_t socket_state::receive_vector(const iovec* buffers, std::size_t count, std::error_code& error) {
  turn mine(*this, direction::read, error);
  if (!mine || !begin(direction::read, error)) return 0;
  ssize_t got = repeat(direction::read, error, [&] { return system_call::receive_vector(fd_, buffers, count); });
  return got < 0 ? 0 : static_cast<std::size_t>(got);
}

std::size_t socket_state::send(const void* data, std::size_t size, std::error_code& error) {
  turn mine(*this, direction::write, error);
  if (!mine || !begin(direction::write, error)) return 0;
  const char* next = static_cast<const char*>(data);
  std::size_t done = 0;
  while (done < size) {
    ssize_t count = repeat(direction::write, error, [&] { return system_call::send(fd_, next + done, size - done); });
    if (count < 0) break;
    done += static_cast<std::size_t>(count);
    rt::detail::poll_attention(rt::detail::current_worker());
  }
  return done;
}

std::size_t socket_state::send_vector(const iovec* buffers, std::size_t count, std::error_code& error) {
  turn mine(*this, direction::write, error);
  if (!mine || !begin(direction::write, error)) return 0;
  ssize_t sent = repeat(direction::write, error, [&] { return system_call::send_vector(fd_, buffers, count); });
  return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

// ---------------------------------------------------------------------------------------------------------------------
// Connections

std::shared_ptr<socket_state> socket_state::accept(std::error_code& error) {
  turn mine(*this, direction::read, error);
  if (!mine || !begin(direction::read, error)) return nullptr;
  rt::detail::group& task = *rt::detail::current_group();
  connection_slot slot;
  bool has_waited = false;
  std::int64_t pause = first_accept_pause;
  while (true) {
    if (!slot.take(task)) {
      if (!std::exchange(has_waited, true)) task.connections->count_wait();
      if (!await_slot(task, error)) return nullptr;
      continue;
    }
    socket_address peer;
    socklen_t length = socket_address::capacity();
    int result = system_call::accept(fd_, peer.buffer(), &length);
    if (result >= 0) {
      owned_fd accepted(result);
      task.connections->note_accept();
      peer.set_size(length);
      return std::make_shared<socket_state>(std::move(accepted), peer, std::move(slot));
    }
    if (concerns_one_connection(result)) {
      rt::detail::poll_attention(rt::detail::current_worker());
      continue;
    }
    std::int64_t until = no_deadline;
    if (is_out_of_resources(result)) {
      until = rt::detail::runtime_now() + pause;
      pause = std::min(2 * pause, longest_accept_pause);
    } else if (!would_block(result)) {
      error = system_error_of(result);
      return nullptr;
    }
    slot.give_back();  // while there is nothing to accept it is for others
    if (!wait(direction::read, until, error)) return nullptr;
  }
}

// The task has as many connections as it may. True when another try is worth while: one may be free.
bool socket_state::await_slot(rt::detail::group& task, std::error_code& error) {
  rt::detail::connection_account& account = *task.connections;
  struct place : rt::detail::connection_account::waiter {
    place(rt::detail::connection_account& in, poll_descriptor& socket) : account(in), descriptor(socket) {
      wake = [](waiter& one) noexcept { static_cast<place&>(one).descriptor.nudge(direction::read); };
      account.enlist(*this);
    }
    ~place() { account.leave(*this); }
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    rt::detail::connection_account& account;
    poll_descriptor& descriptor;
  } mine(account, *descriptor_);
  if (account.has_room()) return true;
  if (account.is_newly_met()) task.limits.add(task, rt::detail::limit_kind::connections);
  return wait(direction::read, no_deadline, error);
}

void socket_state::connect(std::int64_t until, std::error_code& error) {
  turn mine(*this, direction::write, error);
  if (!mine || !begin(direction::write, error)) return;
  std::int64_t pause = first_connect_pause;
  while (true) {
    int result = system_call::connect(fd_, address_.data(), address_.size());
    if (result == 0 || result == -EISCONN) return;
    // An interrupted connect goes on in the background, as one in progress does.
    if (result == -EINPROGRESS || result == -EALREADY || result == -EINTR) {
      await_connection(until, error);
      return;
    }
    if (!would_block(result) || address_.family() != AF_UNIX) {
      error = system_error_of(result);
      return;
    }
    std::int64_t now = rt::detail::runtime_now();
    if (until <= now) {
      error = errc::timed_out;
      return;
    }
    if (!wait(direction::write, std::min(until, now + pause), error)) return;
    pause = std::min(2 * pause, longest_connect_pause);
  }
}

bool socket_state::await_connection(std::int64_t until, std::error_code& error) {
  while (true) {
    if (until <= rt::detail::runtime_now()) {
      error = errc::timed_out;
      return false;
    }
    if (!wait(direction::write, until, error)) return false;
    int result = system_call::pending_error(fd_);
    if (result == 0) {
      // Ready and without error, but perhaps only a report that came for no reason.
      socket_address peer;
      socklen_t length = socket_address::capacity();
      result = system_call::peer_address(fd_, peer.buffer(), &length);
      if (result == 0) return true;
      if (result == -ENOTCONN) continue;
    }
    if (result == -EINPROGRESS || result == -EALREADY || result == -EINTR) continue;
    error = system_error_of(result);
    return false;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// What never waits

void socket_state::set_deadline(direction side, std::int64_t when) noexcept {
  if (!gate_.enter_shared()) return;
  descriptor_->set_deadline(side, when);
  if (gate_.leave_shared()) destroy();
}

void socket_state::shutdown_write(std::error_code& error) noexcept {
  error.clear();
  if (!gate_.enter_shared()) {
    error = errc::closed;
    return;
  }
  if (int result = system_call::shutdown(fd_, SHUT_WR); result != 0) error = system_error_of(result);
  if (gate_.leave_shared()) destroy();
}

void socket_state::set_no_delay(bool on, std::error_code& error) noexcept {
  error.clear();
  if (!gate_.enter_shared()) {
    error = errc::closed;
    return;
  }
  int result = system_call::set_option(fd_, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
  if (result != 0) error = system_error_of(result);
  if (gate_.leave_shared()) destroy();
}

socket_address socket_state::local_address() noexcept {
  socket_address address;
  if (!gate_.enter_shared()) return address;
  socklen_t length = socket_address::capacity();
  if (system_call::local_address(fd_, address.buffer(), &length) == 0) address.set_size(length);
  if (gate_.leave_shared()) destroy();
  return address;
}

}  // namespace rt::net::detail
