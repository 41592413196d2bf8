// Waiting for the first of several channel operations.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "rt/chan.h"

namespace rt {

namespace detail {

enum class select_kind : unsigned char { receive, send };

struct select_case {
  chan_core* channel;
  void* element;  // the value to send, or storage for the one received
  select_kind kind;
  chan_status status;  // of the chosen case: ok or closed
};

inline constexpr int select_none = -1;

/// Performs exactly one ready case, chosen at random among the ready ones, and returns its index; select_none when the
/// deadline passes first, or at once when `poll` is set and no case is ready.
int select_wait(select_case* cases, std::size_t count, std::int64_t deadline, bool poll);

/// A channel that the caller keeps for as long as the select lasts. Most are: that spares counting references.
template <class T>
class borrowed_chan {
 public:
  explicit borrowed_chan(const chan<T>& channel) noexcept : core_(channel.core()) {}
  chan_core* core() const noexcept { return core_; }

 private:
  chan_core* core_;
};

template <class T, class Channel, class Handler>
struct receive_case {
  static constexpr bool is_channel = true;
  Channel channel;
  Handler handler;
  element_storage<T> storage;
  select_case prepare() { return {channel.core(), storage.bytes, select_kind::receive, chan_status::ok}; }
  void finish(chan_status status) {
    if (status == chan_status::ok) {
      handler(storage.take());
    } else {
      handler(std::optional<T>());
    }
  }
};

template <class T, class Channel, class Handler>
struct send_case {
  static constexpr bool is_channel = true;
  Channel channel;
  T value;
  Handler handler;
  select_case prepare() { return {channel.core(), &value, select_kind::send, chan_status::ok}; }
  void finish(chan_status status) {
    if (status != chan_status::ok) throw_send_on_closed();
    handler();
  }
};

template <class Handler>
struct timeout_case {
  static constexpr bool is_channel = false;
  std::int64_t deadline;
  Handler handler;
};

template <class Handler>
struct default_case {
  static constexpr bool is_channel = false;
  Handler handler;
};

template <class Case>
concept select_argument = requires {
  std::decay_t<Case>::is_channel;
};

template <class Case>
inline constexpr bool is_timeout = false;
template <class Handler>
inline constexpr bool is_timeout<timeout_case<Handler>> = true;
template <class Case>
inline constexpr bool is_default = false;
template <class Handler>
inline constexpr bool is_default<default_case<Handler>> = true;

}  // namespace detail

/// A case of rt::select: receive from `channel`; `handler(std::optional<T>)` gets the value, or nothing when the
/// channel is closed and drained. A channel that is not a temporary must outlive the select, as for its own members.
template <class T, class Handler>
detail::receive_case<T, detail::borrowed_chan<T>, std::decay_t<Handler>> on_recv(const chan<T>& channel,
                                                                                 Handler&& handler) {
  return {detail::borrowed_chan<T>(channel), std::forward<Handler>(handler), {}};
}
template <class T, class Handler>
detail::receive_case<T, chan<T>, std::decay_t<Handler>> on_recv(chan<T>&& channel, Handler&& handler) {
  return {std::move(channel), std::forward<Handler>(handler), {}};
}

/// A case of rt::select: send `value` on `channel`, then call `handler()`. rt::select throws rt::channel_closed when
/// the chosen channel is closed. The channel as for on_recv.
template <class T, class Value, class Handler>
detail::send_case<T, detail::borrowed_chan<T>, std::decay_t<Handler>> on_send(const chan<T>& channel, Value&& value,
                                                                              Handler&& handler) {
  return {detail::borrowed_chan<T>(channel), T(std::forward<Value>(value)), std::forward<Handler>(handler)};
}
template <class T, class Value, class Handler>
detail::send_case<T, chan<T>, std::decay_t<Handler>> on_send(chan<T>&& channel, Value&& value, Handler&& handler) {
  return {std::move(channel), T(std::forward<Value>(value)), std::forward<Handler>(handler)};
}

/// A case of rt::select: no other case became ready within `length`. At most one in a select.
template <class Handler>
detail::timeout_case<std::decay_t<Handler>> after(std::chrono::nanoseconds length, Handler&& handler) {
  return {detail::deadline_after(length), std::forward<Handler>(handler)};
}

/// A case of rt::select: no other case is ready now. At most one in a select; rt::select then never blocks.
template <class Handler>
detail::default_case<std::decay_t<Handler>> otherwise(Handler&& handler) {
  return {std::forward<Handler>(handler)};
}

namespace detail {

/// The frame of rt::select: `wait` is select_wait, or something around it.
template <class Wait, class... Cases>
void perform_select(Wait wait, Cases&... cases) {
  constexpr std::size_t timeouts = (0 + ... + (is_timeout<std::decay_t<Cases>> ? 1 : 0));
  constexpr std::size_t defaults = (0 + ... + (is_default<std::decay_t<Cases>> ? 1 : 0));
  constexpr std::size_t channels = (0 + ... + (std::decay_t<Cases>::is_channel ? 1 : 0));
  static_assert(timeouts <= 1, "rt::select takes at most one rt::after");
  static_assert(defaults <= 1, "rt::select takes at most one rt::otherwise");

  std::array<select_case, channels == 0 ? 1 : channels> raw;
  std::size_t next = 0;
  std::int64_t deadline = no_deadline;
  [[maybe_unused]] auto prepare = [&](auto& one) {
    using case_type = std::decay_t<decltype(one)>;
    if constexpr (case_type::is_channel) {
      raw[next++] = one.prepare();
    } else if constexpr (is_timeout<case_type>) {
      deadline = one.deadline;
    }
  };
  (prepare(cases), ...);

  int chosen = wait(raw.data(), channels, deadline, defaults == 1);

  int index = 0;
  [[maybe_unused]] auto finish = [&](auto& one) {
    using case_type = std::decay_t<decltype(one)>;
    if constexpr (case_type::is_channel) {
      if (index++ == chosen) one.finish(raw[static_cast<std::size_t>(chosen)].status);
    } else if constexpr (is_default<case_type>) {
      if (chosen == select_none) one.handler();
    } else {
      if (chosen == select_none && defaults == 0) one.handler();
    }
  };
  (finish(cases), ...);
}

}  // namespace detail

/// Waits until one of the cases can go ahead, performs it and calls its handler. Among several ready cases one is
/// chosen at random, each with the same chance. With no channel case at all (or only empty channels) and no timeout it
/// blocks until it is cancelled.
///
/// Must be called on a green thread (unless it has rt::otherwise). Throws rt::cancelled, rt::channel_closed, and what
/// the handler throws.
template <detail::select_argument... Cases>
void select(Cases&&... cases) {
  detail::perform_select(&detail::select_wait, cases...);
}

}  // namespace rt
