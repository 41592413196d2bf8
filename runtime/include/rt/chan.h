// Channels: typed queues between green threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "rt/make.h"
#include "rt/usage_error.h"

namespace rt {

class context;

/// Sending on, or closing, a channel that is closed already.
class channel_closed : public usage_error {
 public:
  using usage_error::usage_error;
};

/// How an operation that may not block for ever ended.
enum class chan_status : std::uint8_t {
  ok,           ///< The value was sent or received.
  closed,       ///< The channel is closed (and, for a receiver, drained).
  would_block,  ///< A try_ operation found nothing to do.
  timed_out,    ///< The deadline passed first.
};

namespace detail {

class chan_core;

/// What a channel must know about its element type. `trivial` elements are copied as bytes. The values that a channel
/// holds keep alive what they refer to, be it by rt::ref or by a plain pointer.
struct element_type {
  std::size_t size;
  std::size_t align;
  bool trivial;
  bool traced;  // may hold references to the collected heap
  // Moves `from` into raw memory at `to`; `from` stays to be destroyed.
  void (*relocate)(void* to, void* from) noexcept;
  void (*destroy)(void* element) noexcept;
};

template <class T>
inline constexpr element_type element_type_of{
    sizeof(T),
    alignof(T),
    std::is_trivially_copyable_v<T>,
    !noscan<T>,
    [](void* to, void* from) noexcept { ::new (to) T(std::move(*static_cast<T*>(from))); },
    [](void* element) noexcept { static_cast<T*>(element)->~T(); }};

/// No deadline. Deadlines are nanoseconds of the steady clock.
inline constexpr std::int64_t no_deadline = INT64_MAX;

chan_core* chan_make(const element_type& type, std::size_t capacity);
void chan_retain(chan_core* core) noexcept;
void chan_release(chan_core* core) noexcept;
chan_status chan_send(chan_core* core, void* element, std::int64_t deadline);
chan_status chan_try_send(chan_core* core, void* element);
chan_status chan_recv(chan_core* core, void* storage, std::int64_t deadline);
chan_status chan_try_recv(chan_core* core, void* storage);
void chan_close(chan_core* core);
bool chan_closed(const chan_core* core) noexcept;
std::size_t chan_size(const chan_core* core) noexcept;
std::size_t chan_capacity(const chan_core* core) noexcept;
[[noreturn]] void throw_send_on_closed();
std::int64_t deadline_after(std::chrono::nanoseconds length) noexcept;
inline std::int64_t deadline_at(std::chrono::steady_clock::time_point when) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

template <class T>
struct element_storage {
  alignas(T) unsigned char bytes[sizeof(T)];  // NOLINT(bugprone-sizeof-expression): a T may be a pointer
  std::optional<T> take() {
    T* value = std::launder(reinterpret_cast<T*>(bytes));
    std::optional<T> result(std::move(*value));
    value->~T();
    return result;
  }
};

}  // namespace detail

/// A channel of T: a handle that is cheap to copy and may be kept in any memory; copies refer to the same channel.
///
/// A channel of capacity 0 is a rendezvous: a send returns once a receiver has the value. Values arrive in the order in
/// which they were sent; blocked senders and receivers are served first come, first served. T must be movable without
/// throwing; it need not be copyable.
///
/// Blocking members (send, recv and their timed forms) must be called on a green thread and throw rt::cancelled when it
/// is cancelled. The others may be called from any thread.
///
/// A green thread that has a channel by reference only may be served by it last: whoever knows from the channel itself
/// (a value came or went, it was closed) that the other side was served may destroy the last handle at once.
template <class T>
class chan {
  static_assert(std::is_nothrow_move_constructible_v<T>, "channel elements must be movable without throwing");
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>, "channel elements cannot be const or volatile");

 public:
  using value_type = T;

  /// A new channel that holds up to `capacity` values. @throws std::bad_alloc, std::length_error
  explicit chan(std::size_t capacity = 0) : core_(detail::chan_make(detail::element_type_of<T>, capacity)) {}
  /// No channel: sends and receives on it block for ever, and in a select it is never ready.
  explicit chan(std::nullptr_t) noexcept : core_(nullptr) {}
  chan(const chan& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) detail::chan_retain(core_);
  }
  chan(chan&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  chan& operator=(chan other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~chan() {
    if (core_ != nullptr) detail::chan_release(core_);
  }

  /// Sends, waiting for room or for a receiver. @throws rt::channel_closed when the channel is or becomes closed.
  void send(T value) const {
    if (detail::chan_send(core_, &value, detail::no_deadline) == detail_closed) detail::throw_send_on_closed();
  }
  /// As send, until `within` ends. @throws rt::context_error then, also when it has ended before; rt::channel_closed.
  /// Needs "rt/context.h".
  void send(const context& within, T value) const;
  /// As send, up to `deadline`: true if sent. On false the value is left as it was. @throws rt::channel_closed
  template <class Clock, class Duration>
  bool send_until(T&& value, std::chrono::time_point<Clock, Duration> deadline) const {
    chan_status status = detail::chan_send(core_, &value, detail::deadline_at(deadline));
    if (status == detail_closed) detail::throw_send_on_closed();
    return status == chan_status::ok;
  }
  /// As send_until, with a length from now.
  bool send_for(T&& value, std::chrono::nanoseconds length) const {
    chan_status status = detail::chan_send(core_, &value, detail::deadline_after(length));
    if (status == detail_closed) detail::throw_send_on_closed();
    return status == chan_status::ok;
  }
  /// Sends if that needs no waiting: true if sent, else the value is left as it was. @throws rt::channel_closed
  bool try_send(T&& value) const {
    chan_status status = detail::chan_try_send(core_, &value);
    if (status == detail_closed) detail::throw_send_on_closed();
    return status == chan_status::ok;
  }
  /// As try_send, with a copy of the value.
  bool try_send(const T& value) const requires std::is_copy_constructible_v<T> { return try_send(T(value)); }

  /// Receives the next value, waiting for one. Empty once the channel is closed and drained.
  std::optional<T> recv() const {
    detail::element_storage<T> storage;
    if (detail::chan_recv(core_, storage.bytes, detail::no_deadline) != chan_status::ok) return std::nullopt;
    return storage.take();
  }
  /// As recv, until `within` ends. @throws rt::context_error then, also when it has ended before. Needs "rt/context.h".
  std::optional<T> recv(const context& within) const;
  /// As recv, up to `deadline`. `status`, when given, tells a closed channel from a timeout.
  template <class Clock, class Duration>
  std::optional<T> recv_until(std::chrono::time_point<Clock, Duration> deadline, chan_status* status = nullptr) const {
    return finish_recv(&detail::chan_recv, detail::deadline_at(deadline), status);
  }
  /// As recv_until, with a length from now.
  std::optional<T> recv_for(std::chrono::nanoseconds length, chan_status* status = nullptr) const {
    return finish_recv(&detail::chan_recv, detail::deadline_after(length), status);
  }
  /// Receives a value if one is there. `status`, when given, tells a closed channel from an empty one.
  std::optional<T> try_recv(chan_status* status = nullptr) const {
    detail::element_storage<T> storage;
    chan_status outcome = detail::chan_try_recv(core_, storage.bytes);
    if (status != nullptr) *status = outcome;
    if (outcome != chan_status::ok) return std::nullopt;
    return storage.take();
  }

  /// No more values: receivers get what is buffered and then nothing; blocked senders throw.
  /// @throws rt::channel_closed when it is closed already, rt::usage_error when there is no channel.
  void close() const { detail::chan_close(core_); }
  /// True after close(), even while values are still buffered.
  bool is_closed() const noexcept { return core_ != nullptr && detail::chan_closed(core_); }
  /// Values buffered at this moment.
  std::size_t size() const noexcept { return core_ == nullptr ? 0 : detail::chan_size(core_); }
  /// Values that fit without a receiver.
  std::size_t capacity() const noexcept { return core_ == nullptr ? 0 : detail::chan_capacity(core_); }
  /// False for a handle without a channel.
  explicit operator bool() const noexcept { return core_ != nullptr; }
  /// Whether two handles refer to the same channel.
  friend bool operator==(const chan& left, const chan& right) noexcept { return left.core_ == right.core_; }

  /// Receives until the channel is closed and drained: `for (T value : channel)`.
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;
    iterator() = default;
    explicit iterator(const chan* channel) : channel_(channel) { ++*this; }
    T& operator*() const { return *value_; }
    iterator& operator++() {
      std::optional<T> next = channel_->recv();
      value_.reset();  // not assigned: elements need only be movable
      if (next) {
        value_.emplace(std::move(*next));
      } else {
        channel_ = nullptr;
      }
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(const iterator& other) const { return channel_ == other.channel_; }

   private:
    const chan* channel_ = nullptr;
    mutable std::optional<T> value_;
  };
  iterator begin() const { return iterator(this); }
  iterator end() const { return iterator(); }

  /// For rt::select.
  detail::chan_core* core() const noexcept { return core_; }

 private:
  static constexpr chan_status detail_closed = chan_status::closed;

  std::optional<T> finish_recv(chan_status (*receive)(detail::chan_core*, void*, std::int64_t), std::int64_t deadline,
                               chan_status* status) const {
    detail::element_storage<T> storage;
    chan_status outcome = receive(core_, storage.bytes, deadline);
    if (status != nullptr) *status = outcome;
    if (outcome != chan_status::ok) return std::nullopt;
    return storage.take();
  }

  detail::chan_core* core_;
};

/// The handle is a pointer to memory of its own.
template <class T>
inline constexpr bool noscan<chan<T>> = true;

}  // namespace rt
