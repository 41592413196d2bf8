// Stackless green threads: coroutines of the language that the runtime runs.
//
// A green thread has a stack, one page at least, for as long as it lives. A coroutine that waits by co_await has only
// its frame, some hundred bytes: for a million of those that wait most of the time.
//
//     rt::coroutine<std::size_t> length_of(rt::chan<std::string> lines) {
//       std::size_t sum = 0;
//       while (std::optional<std::string> line = co_await rt::async_recv(lines)) sum += line->size();
//       co_return sum;
//     }
//     rt::coroutine<> count(rt::chan<std::string> lines, rt::chan<std::size_t> result) {
//       co_await rt::async_send(result, co_await length_of(lines));
//     }
//     rt::go(count(lines, result));
//
// Such a coroutine is a green thread of its task in all else: it counts for the limit and the end of the task, is
// cancelled with it, has values of rt::local, and its exceptions fail the task. While it runs it has a stack, from a
// crew of the task. So it may call everything that a green thread may, and wait as one: lock a mutex, read from a
// socket, rt::select. Then it keeps its stack meanwhile.
//
// GCC 12 lays out the frame of a coroutine wrongly when a co_await stands in the condition of an `if` or a loop and its
// outermost block has no variable: then rt::go and co_await throw rt::usage_error. A variable for the result mends it.
//
// Its parameters and variables lie in the frame, an object of the collected heap. A plain pointer to an object in one
// of them keeps the object alive, as on a stack. A parameter that is a reference, and what the lambda of a coroutine
// has captured, must outlive it: give it values.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "rt/chan.h"
#include "rt/coroutine_frame.h"

namespace rt {

template <class T = void>
class coroutine;

namespace detail {

/// Memory for a frame, on the collected heap and kept alive until end_frame. The calling green thread is making it.
/// @throws as rt::make
void* new_frame(std::size_t size);
void end_frame(void* frame) noexcept;
/// It is made, and does not run yet.
void frame_is_made(void* frame) noexcept;
/// The handle; null when it is not where the frame begins, which is a mistake of the compiler (throw_no_coroutine).
void* checked_handle(void* handle) noexcept;
/// Destroys a coroutine that has not begun, or has ended. One without a handle cannot be destroyed.
void destroy_coroutine(void* handle) noexcept;
void start_coroutine(coroutine_frame* outermost, const char* name);
/// `caller` awaits `called`, which runs next.
void call_coroutine(coroutine_frame& caller, coroutine_frame& called) noexcept;
/// Who awaits it runs next.
void return_from_coroutine(coroutine_frame& ended) noexcept;
/// `made`: it cannot be run; else there is none.
[[noreturn]] void throw_no_coroutine(bool made);

/// A wait by co_await, in the frame of who waits.
struct coroutine_wait {
  alignas(16) unsigned char bytes[208];
};
/// Waits until the channel takes or gives the element. False: it need not wait. Then, and when it is resumed,
/// end_chan_wait says how it went. @throws std::bad_alloc
bool begin_chan_wait(coroutine_frame& self, coroutine_wait& wait, chan_core* core, bool sending, void* element,
                     std::int64_t deadline);
/// @throws rt::cancelled, rt::context_error
chan_status end_chan_wait(coroutine_wait& wait);
bool begin_sleep(coroutine_frame& self, coroutine_wait& wait, std::int64_t deadline);
void end_sleep(coroutine_wait& wait);
void yield_coroutine(coroutine_frame& self);
void end_yield();

/// What all promises have in common.
struct coroutine_promise : coroutine_frame {
  static void* operator new(std::size_t size) { return new_frame(size); }
  static void operator delete(void* frame) noexcept { end_frame(frame); }

  struct begin {
    static bool await_ready() noexcept { return false; }
    static void await_suspend(std::coroutine_handle<> self) noexcept { frame_is_made(self.address()); }
    static void await_resume() noexcept {}
  };
  struct finish {
    static bool await_ready() noexcept { return false; }
    template <class Promise>
    static void await_suspend(std::coroutine_handle<Promise> self) noexcept {
      return_from_coroutine(self.promise());
    }
    static void await_resume() noexcept {}
  };
  static begin initial_suspend() noexcept { return {}; }
  static finish final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
struct coroutine_result : coroutine_promise {
  std::optional<T> value;

  template <class Value>
    requires std::is_constructible_v<T, Value&&>
  void return_value(Value&& result) { value.emplace(std::forward<Value>(result)); }
  T take() {
    if (error != nullptr) std::rethrow_exception(std::exchange(error, nullptr));
    return std::move(*value);
  }
};
template <>
struct coroutine_result<void> : coroutine_promise {
  static void return_void() noexcept {}
  void take() {
    if (error != nullptr) std::rethrow_exception(std::exchange(error, nullptr));
  }
};

/// A coroutine that can be awaited, or await this.
template <class Promise>
concept runtime_promise = std::derived_from<Promise, coroutine_frame>;

}  // namespace detail

/// The return type of a coroutine. It begins when it is awaited (`co_await f(…)`, from another coroutine) or started
/// (rt::go), and gives a T, which may be void, to whoever awaits it. An object of this type that is destroyed before
/// destroys the coroutine.
///
/// Calling the coroutine makes its frame: @throws as rt::make.
template <class T>
class [[nodiscard]] coroutine {
  static_assert(std::is_void_v<T> || std::is_object_v<T>,
                "a coroutine gives a value: return a pointer, not a reference");

 public:
  struct promise_type : detail::coroutine_result<T> {
    coroutine get_return_object() noexcept {
      this->handle = detail::checked_handle(std::coroutine_handle<promise_type>::from_promise(*this).address());
      return coroutine(*this);
    }
  };

  coroutine(coroutine&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  coroutine& operator=(coroutine&& other) noexcept {
    std::swap(promise_, other.promise_);
    return *this;
  }
  ~coroutine() {
    if (promise_ != nullptr) detail::destroy_coroutine(promise_->handle);
  }

  /// Runs it and gives what it returns, or throws what has left it. One that has a name is awaited as std::move(it).
  auto operator co_await() && {
    if (promise_ == nullptr || promise_->handle == nullptr) detail::throw_no_coroutine(promise_ != nullptr);
    return call{std::move(*this)};
  }

 private:
  friend void go(coroutine<> body, const char* name);
  struct call {
    coroutine body;
    static bool await_ready() noexcept { return false; }
    template <detail::runtime_promise Promise>
    void await_suspend(std::coroutine_handle<Promise> caller) noexcept {
      detail::call_coroutine(caller.promise(), *body.promise_);
    }
    T await_resume() { return body.promise_->take(); }
  };
  explicit coroutine(promise_type& promise) noexcept : promise_(&promise) {}

  promise_type* promise_;
};

/// Starts `body` as a green thread without a stack, and returns at once. `name`, for dumps, must outlive it (a string
/// literal does). An exception that leaves it fails the task.
///
/// Never blocks. Any thread of a process whose runtime is started, green or not.
/// @throws as rt::go of a function; then `body` is destroyed, and nothing has started.
inline void go(coroutine<> body, const char* name = nullptr) {
  detail::start_coroutine(body.promise_, name);
  body.promise_ = nullptr;  // it may have ended already
}

namespace detail {

template <class T>
class receive_wait {
 public:
  receive_wait(chan<T> channel, std::int64_t deadline, chan_status* status) noexcept
      : channel_(std::move(channel)), deadline_(deadline), status_(status) {}
  receive_wait(const receive_wait&) = delete;
  receive_wait& operator=(const receive_wait&) = delete;

  bool await_ready() {
    outcome_ = chan_try_recv(channel_.core(), storage_.bytes);
    return outcome_ != chan_status::would_block;
  }
  template <runtime_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    return begin_chan_wait(self.promise(), wait_, channel_.core(), false, storage_.bytes, deadline_);
  }
  std::optional<T> await_resume() {
    if (outcome_ == chan_status::would_block) outcome_ = end_chan_wait(wait_);
    if (status_ != nullptr) *status_ = outcome_;
    if (outcome_ != chan_status::ok) return std::nullopt;
    return storage_.take();
  }

 private:
  chan<T> channel_;
  std::int64_t deadline_;
  chan_status* status_;
  chan_status outcome_ = chan_status::would_block;
  element_storage<T> storage_;
  coroutine_wait wait_;
};

template <class T>
class send_wait {
 public:
  send_wait(chan<T> channel, T value) noexcept : channel_(std::move(channel)), value_(std::move(value)) {}
  send_wait(const send_wait&) = delete;
  send_wait& operator=(const send_wait&) = delete;

  bool await_ready() {
    outcome_ = chan_try_send(channel_.core(), &value_);
    return outcome_ != chan_status::would_block;
  }
  template <runtime_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    return begin_chan_wait(self.promise(), wait_, channel_.core(), true, &value_, no_deadline);
  }
  void await_resume() {
    if (outcome_ == chan_status::would_block) outcome_ = end_chan_wait(wait_);
    if (outcome_ == chan_status::closed) throw_send_on_closed();
  }

 private:
  chan<T> channel_;
  T value_;
  chan_status outcome_ = chan_status::would_block;
  coroutine_wait wait_;
};

class sleep_wait {
 public:
  explicit sleep_wait(std::int64_t deadline) noexcept : deadline_(deadline) {}
  sleep_wait(const sleep_wait&) = delete;
  sleep_wait& operator=(const sleep_wait&) = delete;

  static bool await_ready() noexcept { return false; }
  template <runtime_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    return begin_sleep(self.promise(), wait_, deadline_);
  }
  void await_resume() { end_sleep(wait_); }

 private:
  std::int64_t deadline_;
  coroutine_wait wait_;
};

struct yield_wait {
  static bool await_ready() noexcept { return false; }
  template <runtime_promise Promise>
  static void await_suspend(std::coroutine_handle<Promise> self) {
    yield_coroutine(self.promise());
  }
  static void await_resume() { end_yield(); }
};

}  // namespace detail

// Each of these is awaited in a coroutine of the runtime: co_await rt::async_recv(channel). They throw rt::cancelled
// when the task is cancelled while they wait, and the error of a context that the coroutine has bound to itself.

/// As chan::recv: the next value; nothing once the channel is closed and drained.
template <class T>
detail::receive_wait<T> async_recv(chan<T> channel) noexcept {
  return {std::move(channel), detail::no_deadline, nullptr};
}
/// As chan::recv_for: nothing also after `length`. `status`, when given, tells a closed channel from a timeout.
template <class T>
detail::receive_wait<T> async_recv_for(chan<T> channel, std::chrono::nanoseconds length,
                                       chan_status* status = nullptr) noexcept {
  return {std::move(channel), detail::deadline_after(length), status};
}
/// As chan::send. @throws rt::channel_closed when the channel is or becomes closed.
template <class T>
detail::send_wait<T> async_send(chan<T> channel, std::type_identity_t<T> value) noexcept {
  return {std::move(channel), std::move(value)};
}
/// As rt::sleep_for.
inline detail::sleep_wait async_sleep_for(std::chrono::nanoseconds length) noexcept {
  return detail::sleep_wait(detail::deadline_after(length));
}
/// As rt::yield, to the other coroutines of the task that can run.
inline detail::yield_wait async_yield() noexcept { return {}; }

}  // namespace rt
