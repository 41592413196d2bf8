// Sockets whose blocking calls park the green thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "rt/time.h"

namespace rt {
class context;
}

namespace rt::net {

/// Errors that the operating system has no number for.
enum class errc {
  eof = 1,        ///< The peer has closed its side (read_some and read_exactly only).
  closed,         ///< The connection or listener was closed on this side, possibly while the call was waiting.
  timed_out,      ///< The deadline passed.
  bad_address,    ///< The address cannot be parsed; the message of the exception says which and what is expected.
  not_found,      ///< The host name has no address.
  lookup_failed,  ///< The name servers did not answer, or refused to; another try may succeed.
  /// The task has as many connections as it may (limits.connections of its configuration). dial only: accept waits.
  too_many_connections,
};
const std::error_category& category() noexcept;
std::error_code make_error_code(errc value) noexcept;

namespace detail {
class socket_state;
}

/// A connected stream socket (TCP or unix). A handle: cheap to copy, may be kept in any memory; the socket is closed by
/// close() or with the last copy.
///
/// One green thread may read while another writes; several readers (or writers) at once are served one after the other.
/// Blocking members throw rt::cancelled when the caller is cancelled and rt::context_error when a context that it obeys
/// (rt::context_scope, or the first parameter) has ended, and report other errors either by std::system_error or
/// through the std::error_code overload.
class conn {
 public:
  conn() noexcept = default;
  explicit conn(std::shared_ptr<detail::socket_state> state) noexcept : state_(std::move(state)) {}

  /// Reads between 1 and `size` bytes, waiting for the first. Returns the number read; 0 at the end of the stream.
  std::size_t read(void* buffer, std::size_t size);
  std::size_t read(void* buffer, std::size_t size, std::error_code& error) noexcept(false);
  std::size_t read(const context& within, void* buffer, std::size_t size);
  /// Reads exactly `size` bytes. @throws std::system_error with errc::eof when the stream ends before.
  void read_exactly(void* buffer, std::size_t size);
  /// Writes everything. Returns `size`.
  std::size_t write(const void* data, std::size_t size);
  std::size_t write(const void* data, std::size_t size, std::error_code& error) noexcept(false);
  std::size_t write(std::string_view text) { return write(text.data(), text.size()); }
  std::size_t write(const context& within, std::string_view data);
  std::size_t write(std::string_view text, std::error_code& error) { return write(text.data(), text.size(), error); }

  /// Boost.Asio's SyncReadStream and SyncWriteStream (any buffer sequence), so that Beast and asio::ssl work on it.
  template <class MutableBufferSequence>
  std::size_t read_some(const MutableBufferSequence& buffers);
  template <class MutableBufferSequence, class ErrorCode>
  std::size_t read_some(const MutableBufferSequence& buffers, ErrorCode& error);
  template <class ConstBufferSequence>
  std::size_t write_some(const ConstBufferSequence& buffers);
  template <class ConstBufferSequence, class ErrorCode>
  std::size_t write_some(const ConstBufferSequence& buffers, ErrorCode& error);

  /// Reads and writes fail with errc::timed_out after this time; a default time_point (epoch) takes the deadline away.
  /// Reaches calls that wait already. A deadline stays until it is changed.
  void set_deadline(time_point when) noexcept;
  void set_read_deadline(time_point when) noexcept;
  void set_write_deadline(time_point when) noexcept;

  /// Ends the writing side; the peer reads the end of the stream.
  void shutdown_write(std::error_code& error) noexcept;
  /// Closes the socket. Calls that wait on it, in any green thread, return errc::closed. Idempotent. Never blocks.
  void close() noexcept;
  bool is_open() const noexcept;
  /// TCP_NODELAY is on by default, as in Go (and so are keep-alive probes, after 15 s of silence).
  void set_no_delay(bool on, std::error_code& error) noexcept;

  /// "127.0.0.1:8080", "[::1]:8080", or the path of a unix socket ("@name" for an abstract one).
  std::string local_address() const;
  std::string remote_address() const;
  /// The descriptor, or -1 when closed. It stays the handle's property.
  int native_handle() const noexcept;

  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  std::size_t read_vector(void* const* buffers, const std::size_t* sizes, std::size_t count, std::error_code& error);
  std::size_t write_vector(const void* const* buffers, const std::size_t* sizes, std::size_t count,
                           std::error_code& error);
  std::shared_ptr<detail::socket_state> state_;
};

/// A listening socket. A handle, as conn.
class listener {
 public:
  listener() noexcept = default;
  explicit listener(std::shared_ptr<detail::socket_state> state) noexcept : state_(std::move(state)) {}

  /// Waits for the next connection. Running out of descriptors (EMFILE, ENFILE) and connections that are gone before
  /// they were accepted do not end it: it waits a little and tries again. While the task has as many connections as it
  /// may (limits.connections of its configuration) it waits until one of them is closed, and accepts nothing. @throws
  /// std::system_error (errc::closed after close)
  conn accept();
  conn accept(std::error_code& error);
  conn accept(const context& within);
  /// accept fails with errc::timed_out after this time; a default time_point takes the deadline away.
  void set_deadline(time_point when) noexcept;
  /// Closes it; accept calls that wait return errc::closed. Idempotent. Never blocks. A unix socket's path is unlinked.
  void close() noexcept;
  /// The bound address with the real port, so that ":0" can be asked for.
  std::string address() const;
  int native_handle() const noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  std::shared_ptr<detail::socket_state> state_;
};

/// Listens. `network` is "tcp", "tcp4", "tcp6" or "unix". `address` is "host:port" (":8080" for all addresses,
/// "[::1]:80" for IPv6, "127.0.0.1:0" for any free port) or the path of a unix socket. "tcp" with no host listens on
/// IPv6 and IPv4.
/// @throws std::system_error, whose message names the address.
listener listen(std::string_view network, std::string_view address);
listener listen(std::string_view network, std::string_view address, std::error_code& error);

/// Connects. Names are looked up on a helper thread (the green thread parks) and their addresses tried in turn.
/// @throws std::system_error, whose message names the address; with errc::too_many_connections at the task's limit.
conn dial(std::string_view network, std::string_view address);
conn dial(std::string_view network, std::string_view address, std::error_code& error);
/// As dial, until `within` ends; its deadline counts as in dial_until. @throws rt::context_error when it ends
conn dial(const context& within, std::string_view network, std::string_view address);
/// As dial, up to a deadline for look-up and connecting together; a default time_point (epoch) is none.
conn dial_until(std::string_view network, std::string_view address, time_point deadline);
conn dial_until(std::string_view network, std::string_view address, time_point deadline, std::error_code& error);

// ---------------------------------------------------------------------------------------------------------------------
// read_some and write_some: templates over any buffer sequence, without a dependency on Boost. At most 16 buffers are
// passed to the system in one call (empty ones do not count); the stream contract lets the caller come back for the
// rest.

namespace detail {

inline constexpr std::size_t max_buffers = 16;

template <class Sequence>
auto sequence_begin(const Sequence& sequence, int) -> decltype(sequence.begin()) {
  return sequence.begin();
}
template <class Sequence>
auto sequence_begin(const Sequence& buffer, long) -> const Sequence* {
  return &buffer;
}
template <class Sequence>
auto sequence_end(const Sequence& sequence, int) -> decltype(sequence.end()) {
  return sequence.end();
}
template <class Sequence>
auto sequence_end(const Sequence& buffer, long) -> const Sequence* {
  return &buffer + 1;
}

template <class ErrorCode>
void assign_error(ErrorCode& to, const std::error_code& from);

}  // namespace detail

/// How read_some and write_some express an error in another type than std::error_code. "rt/asio.h" does it for Boost.
template <class ErrorCode>
struct stream_error {
  static ErrorCode from(const std::error_code& error) { return ErrorCode(error); }
};

template <class MutableBufferSequence>
std::size_t conn::read_some(const MutableBufferSequence& buffers) {
  std::error_code error;
  std::size_t count = read_some(buffers, error);
  if (error) throw std::system_error(error, "read_some");
  return count;
}

template <class MutableBufferSequence, class ErrorCode>
std::size_t conn::read_some(const MutableBufferSequence& buffers, ErrorCode& error) {
  void* pointers[detail::max_buffers];
  std::size_t sizes[detail::max_buffers];
  std::size_t count = 0;
  std::size_t total = 0;
  auto end = detail::sequence_end(buffers, 0);
  for (auto it = detail::sequence_begin(buffers, 0); it != end && count < detail::max_buffers; ++it) {
    auto buffer = *it;  // not every iterator of Beast's has an arrow
    if (buffer.size() == 0) continue;
    pointers[count] = buffer.data();
    sizes[count] = buffer.size();
    total += sizes[count++];
  }
  std::error_code outcome;
  std::size_t done = total == 0 ? 0 : read_vector(pointers, sizes, count, outcome);
  if (!outcome && total != 0 && done == 0) outcome = make_error_code(errc::eof);
  detail::assign_error(error, outcome);
  return done;
}

template <class ConstBufferSequence>
std::size_t conn::write_some(const ConstBufferSequence& buffers) {
  std::error_code error;
  std::size_t count = write_some(buffers, error);
  if (error) throw std::system_error(error, "write_some");
  return count;
}

template <class ConstBufferSequence, class ErrorCode>
std::size_t conn::write_some(const ConstBufferSequence& buffers, ErrorCode& error) {
  const void* pointers[detail::max_buffers];
  std::size_t sizes[detail::max_buffers];
  std::size_t count = 0;
  std::size_t total = 0;
  auto end = detail::sequence_end(buffers, 0);
  for (auto it = detail::sequence_begin(buffers, 0); it != end && count < detail::max_buffers; ++it) {
    auto buffer = *it;  // not every iterator of Beast's has an arrow
    if (buffer.size() == 0) continue;
    pointers[count] = buffer.data();
    sizes[count] = buffer.size();
    total += sizes[count++];
  }
  std::error_code outcome;
  std::size_t done = total == 0 ? 0 : write_vector(pointers, sizes, count, outcome);
  detail::assign_error(error, outcome);
  return done;
}

namespace detail {
template <class ErrorCode>
void assign_error(ErrorCode& to, const std::error_code& from) {
  if constexpr (std::is_same_v<ErrorCode, std::error_code>) {
    to = from;
  } else if (from) {
    to = stream_error<ErrorCode>::from(from);
  } else {
    to = ErrorCode();
  }
}
}  // namespace detail

}  // namespace rt::net

template <>
struct std::is_error_code_enum<rt::net::errc> : std::true_type {};
