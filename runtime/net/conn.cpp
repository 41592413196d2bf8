// The members of the handles conn and listener: the public face of socket_state.
#include <algorithm>
#include <string>

#include "rt/context.h"
#include "rt/net.h"
#include "runtime/net/socket_state.h"
#include "runtime/sched/park.h"

namespace rt::net {

using detail::direction;
using detail::socket_state;

namespace {

std::int64_t deadline_of(time_point when) noexcept {
  std::int64_t nanoseconds = when.time_since_epoch().count();
  return nanoseconds == 0 ? detail::no_deadline : nanoseconds;
}

// The socket of a handle, for an operation that may wait: clears `error`, or sets it when the handle is empty.
socket_state* socket_of(const std::shared_ptr<socket_state>& state, const char* what, std::error_code& error) {
  rt::detail::require_green_thread(what);
  error.clear();
  if (state == nullptr) error = errc::closed;
  return state.get();
}

[[noreturn]] void fail(const std::error_code& error, const char* what, const std::string& address) {
  throw std::system_error(error, address.empty() ? std::string(what) : std::string(what) + ' ' + address);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// conn

std::size_t conn::read(void* buffer, std::size_t size, std::error_code& error) noexcept(false) {
  socket_state* socket = socket_of(state_, "rt::net::conn::read", error);
  return socket == nullptr ? 0 : socket->receive(buffer, size, error);
}

std::size_t conn::read(void* buffer, std::size_t size) {
  std::error_code error;
  std::size_t count = read(buffer, size, error);
  if (error) fail(error, "read from", remote_address());
  return count;
}

std::size_t conn::read(const context& within, void* buffer, std::size_t size) {
  within.throw_if_ended();
  context_scope obey(within);
  return read(buffer, size);
}

void conn::read_exactly(void* buffer, std::size_t size) {
  char* next = static_cast<char*>(buffer);
  while (size > 0) {
    std::size_t count = read(next, size);
    if (count == 0) fail(errc::eof, "read from", remote_address());
    next += count;
    size -= count;
  }
}

std::size_t conn::write(const void* data, std::size_t size, std::error_code& error) noexcept(false) {
  socket_state* socket = socket_of(state_, "rt::net::conn::write", error);
  return socket == nullptr ? 0 : socket->send(data, size, error);
}

std::size_t conn::write(const void* data, std::size_t size) {
  std::error_code error;
  std::size_t count = write(data, size, error);
  if (error) fail(error, "write to", remote_address());
  return count;
}

std::size_t conn::write(const context& within, std::string_view data) {
  within.throw_if_ended();
  context_scope obey(within);
  return write(data);
}

std::size_t conn::read_vector(void* const* buffers, const std::size_t* sizes, std::size_t count,
                              std::error_code& error) {
  socket_state* socket = socket_of(state_, "rt::net::conn::read_some", error);
  if (socket == nullptr) return 0;
  if (count == 1) return socket->receive(buffers[0], sizes[0], error);
  iovec parts[detail::max_buffers];
  count = std::min(count, detail::max_buffers);
  for (std::size_t i = 0; i < count; ++i) parts[i] = {buffers[i], sizes[i]};
  return socket->receive_vector(parts, count, error);
}

std::size_t conn::write_vector(const void* const* buffers, const std::size_t* sizes, std::size_t count,
                               std::error_code& error) {
  socket_state* socket = socket_of(state_, "rt::net::conn::write_some", error);
  if (socket == nullptr) return 0;
  iovec parts[detail::max_buffers];
  count = std::min(count, detail::max_buffers);
  for (std::size_t i = 0; i < count; ++i) parts[i] = {const_cast<void*>(buffers[i]), sizes[i]};
  return socket->send_vector(parts, count, error);
}

void conn::set_deadline(time_point when) noexcept {
  set_read_deadline(when);
  set_write_deadline(when);
}

void conn::set_read_deadline(time_point when) noexcept {
  if (state_ != nullptr) state_->set_deadline(direction::read, deadline_of(when));
}

void conn::set_write_deadline(time_point when) noexcept {
  if (state_ != nullptr) state_->set_deadline(direction::write, deadline_of(when));
}

void conn::shutdown_write(std::error_code& error) noexcept {
  error = errc::closed;
  if (state_ != nullptr) state_->shutdown_write(error);
}

void conn::close() noexcept {
  if (state_ != nullptr) state_->close();
}

bool conn::is_open() const noexcept { return state_ != nullptr && state_->is_open(); }

void conn::set_no_delay(bool on, std::error_code& error) noexcept {
  error = errc::closed;
  if (state_ != nullptr) state_->set_no_delay(on, error);
}

std::string conn::local_address() const { return state_ == nullptr ? std::string() : state_->local_address().text(); }
std::string conn::remote_address() const { return state_ == nullptr ? std::string() : state_->address().text(); }
int conn::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->fd(); }

// ---------------------------------------------------------------------------------------------------------------------
// listener

conn listener::accept(std::error_code& error) {
  socket_state* socket = socket_of(state_, "rt::net::listener::accept", error);
  return socket == nullptr ? conn() : conn(socket->accept(error));
}

conn listener::accept() {
  std::error_code error;
  conn accepted = accept(error);
  if (error) fail(error, "accept on", address());
  return accepted;
}

conn listener::accept(const context& within) {
  within.throw_if_ended();
  context_scope obey(within);
  return accept();
}

void listener::set_deadline(time_point when) noexcept {
  if (state_ != nullptr) state_->set_deadline(direction::read, deadline_of(when));
}

void listener::close() noexcept {
  if (state_ != nullptr) state_->close();
}

std::string listener::address() const { return state_ == nullptr ? std::string() : state_->address().text(); }
int listener::native_handle() const noexcept { return state_ == nullptr ? -1 : state_->fd(); }

}  // namespace rt::net
