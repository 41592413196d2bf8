// What the handles conn and listener share: the socket, and all operations on it.
//
// An operation enters the gate (operation_gate.h), asks for cancellation and for the deadline, tries its system call,
// and waits in the poll descriptor (poll_descriptor.h) while the system says that it would block. Every operation lets
// other green threads go first when the scheduler asks for that, so a loop over a socket that always has data holds
// nobody up.
#pragma once

#include <sys/stat.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>

#include "runtime/net/connection_slot.h"
#include "runtime/net/operation_gate.h"
#include "runtime/net/owned_fd.h"
#include "runtime/net/poll_descriptor.h"
#include "runtime/net/socket_address.h"

namespace rt::net::detail {

class socket_state {
 public:
  /// Takes over a non-blocking stream socket. `address` is the peer's for a connection and the own one for a listener;
  /// `slot` is what the connection is counted by. Throws std::bad_alloc.
  socket_state(owned_fd fd, const socket_address& address, connection_slot slot = {});
  ~socket_state();
  socket_state(const socket_state&) = delete;
  socket_state& operator=(const socket_state&) = delete;

  // --- operations that may wait: green threads only; they throw rt::cancelled --------------------------------------

  /// Between 1 and `size` bytes; 0 at the end of the stream.
  std::size_t receive(void* buffer, std::size_t size, std::error_code& error);
  std::size_t receive_vector(const iovec* buffers, std::size_t count, std::error_code& error);
  /// All of it, unless there is an error; returns what was sent.
  std::size_t send(const void* data, std::size_t size, std::error_code& error);
  /// At least one byte.
  std::size_t send_vector(const iovec* buffers, std::size_t count, std::error_code& error);
  /// Null with an error.
  std::shared_ptr<socket_state> accept(std::error_code& error);
  /// Connects a fresh socket to `address()`, up to `until` (steady clock, ns).
  void connect(std::int64_t until, std::error_code& error);

  // --- never wait; any thread ---------------------------------------------------------------------------------------

  void set_deadline(direction side, std::int64_t when) noexcept;
  void shutdown_write(std::error_code& error) noexcept;
  void set_no_delay(bool on, std::error_code& error) noexcept;
  void close() noexcept;
  bool is_open() const noexcept { return !gate_.is_closed(); }
  /// -1 when closed.
  int fd() const noexcept { return gate_.is_closed() ? -1 : fd_; }
  const socket_address& address() const noexcept { return address_; }
  /// The own address; none when closed.
  socket_address local_address() noexcept;
  /// The socket's file, with its path in address(), is unlinked by close() if it is still the same file.
  void own_socket_file(const struct stat& file) noexcept;

 private:
  class turn;

  bool begin(direction side, std::error_code& error);
  bool wait(direction side, std::int64_t until, std::error_code& error);
  template <class Call>
  ssize_t repeat(direction side, std::error_code& error, Call call);
  bool await_connection(std::int64_t until, std::error_code& error);
  bool await_slot(rt::detail::group& task, std::error_code& error);
  void remove_socket_file() noexcept;
  void destroy() noexcept;

  struct file_identity {
    dev_t device;
    ino_t number;
  };

  operation_gate gate_;
  const int fd_;
  poll_descriptor* const descriptor_;
  const socket_address address_;
  std::optional<file_identity> socket_file_;
  connection_slot slot_;  // given back with the descriptor
};

}  // namespace rt::net::detail
