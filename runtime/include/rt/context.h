// Contexts: what one piece of work (a request, a connection, a task) hands down to all that is done for it: the wish to
// stop, a deadline, and values.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "rt/chan.h"
#include "rt/condition.h"
#include "rt/kept.h"
#include "rt/select.h"
#include "rt/time.h"

namespace rt {

namespace detail {

class context_core;
struct after_state;

void context_retain(context_core* core) noexcept;
void context_release(context_core* core) noexcept;
context_core* context_with_end(context_core* parent, std::int64_t deadline);
context_core* context_with_value(context_core* parent, const void* key, void* value, void (*destroy)(void*) noexcept);
context_core* context_without_cancel(context_core* parent);
void context_cancel(context_core* core, const std::exception_ptr& cause) noexcept;
const void* context_value(const context_core* core, const void* key) noexcept;

}  // namespace detail

/// A blocking call was left because a context ended: code() is std::errc::operation_canceled or std::errc::timed_out.
class context_error : public std::system_error {
 public:
  context_error(std::error_code code, std::exception_ptr cause);
  /// What was given to cancel(); null when it was given nothing, and for a deadline.
  const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  std::exception_ptr cause_;
};

/// The element type of context::done(): there are no values, the channel is only ever closed.
struct context_ended {
  context_ended() = delete;
};

/// Names a value of type T in contexts; each object is a key of its own, so it is a static variable:
/// `static const rt::context_key<std::string> user;`.
template <class T>
class context_key {
 public:
  context_key() noexcept = default;
  context_key(const context_key&) = delete;
  context_key& operator=(const context_key&) = delete;
};

/// A context: a handle that is cheap to copy and may be kept in any memory. Contexts form a tree. One that ends takes
/// all below it along, never the one above. Passed as the first parameter, by `const rt::context&`.
///
/// A context ends by cancel(), at its deadline, with the one above it, or, if it comes from rt::current_context(), when
/// its task is stopped. It never un-ends. Ended or dropped, it is no longer known to the one above.
///
/// All members may be called from any thread and never block.
class context {
 public:
  /// The background: never ends, has no deadline and no values.
  context() noexcept = default;
  context(const context& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) detail::context_retain(core_);
  }
  context(context&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  context& operator=(context other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~context() {
    if (core_ != nullptr) detail::context_release(core_);
  }

  /// Whether it has ended.
  bool ended() const noexcept;
  /// Nothing while it lives, then std::errc::operation_canceled or std::errc::timed_out.
  std::error_code error() const noexcept;
  /// What was given to the cancel() that ended it, here or above; null before, without, and for a deadline.
  std::exception_ptr cause() const noexcept;
  /// @throws rt::context_error if it has ended, or rt::cancelled if the caller's task or scope has been cancelled too.
  void throw_if_ended() const;
  /// The earliest deadline, its own or one above.
  std::optional<time_point> deadline() const noexcept;
  /// A channel that is closed when the context ends, for rt::select. No channel if it can never end.
  chan<context_ended> done() const;
  /// The value that this context or the nearest one above has for `key`; null if none has. Lives as long as the handle.
  template <class T>
  const T* value(const context_key<T>& key) const noexcept {
    return static_cast<const T*>(detail::context_value(core_, &key));
  }

  /// For the runtime: takes over the caller's reference.
  explicit context(detail::context_core* adopted) noexcept : core_(adopted) {}
  detail::context_core* core() const noexcept { return core_; }

 private:
  detail::context_core* core_ = nullptr;
};

/// A context with the means to end it. Hand it to others as a plain rt::context, which has none.
class cancellable_context : public context {
 public:
  using context::context;
  /// Ends the context and all below it: green threads that wait with one of them wake. `cause` is what cause() and
  /// rt::context_error tell. Only the first call counts. Never blocks; any thread may call it.
  void cancel(const std::exception_ptr& cause = nullptr) const noexcept { detail::context_cancel(core(), cause); }
};

/// The root of all contexts that no task owns.
inline context background() noexcept { return context(); }
/// The context that the calling green thread has bound to itself by rt::context_scope, innermost; else the root context
/// of its task, which ends when the task is stopped, fails, or its entry has returned; outside green threads the
/// background. @throws std::bad_alloc
context current_context();

/// A context below `parent` that can be cancelled. @throws std::bad_alloc
inline cancellable_context with_cancel(const context& parent) {
  return cancellable_context(detail::context_with_end(parent.core(), detail::no_deadline));
}
/// As with_cancel, and it ends by itself at `when`; at once if that has passed. A timer, no green thread, waits for it.
/// @throws std::bad_alloc; std::system_error when no runtime is running
inline cancellable_context with_deadline(const context& parent, time_point when) {
  return cancellable_context(detail::context_with_end(parent.core(), detail::deadline_at(when)));
}
/// As with_deadline, `length` from now.
inline cancellable_context with_timeout(const context& parent, duration length) {
  return cancellable_context(detail::context_with_end(parent.core(), detail::deadline_after(length)));
}
/// A context below `parent` with a value. It ends with its parent. The value is destroyed with the last handle of the
/// context and of those below; it may hold rt::ref. @throws std::bad_alloc and what copying the value throws
template <class T, class Value = T>
context with_value(const context& parent, const context_key<T>& key, Value&& value) {
  auto owned = detail::keep_new<T>(std::forward<Value>(value));
  context made(detail::context_with_value(
      parent.core(), &key, owned.get(), [](void* object) noexcept { detail::destroy_kept(static_cast<T*>(object)); }));
  static_cast<void>(owned.release());
  return made;
}
/// A context with the values of `parent` that does not end with it and has no deadline: for what must be finished when
/// the work itself has been given up. @throws std::bad_alloc
inline context without_cancel(const context& parent) { return context(detail::context_without_cancel(parent.core())); }

/// What after_func returns.
class after_func_handle {
 public:
  explicit after_func_handle(std::shared_ptr<detail::after_state> state) noexcept : state_(std::move(state)) {}
  /// Takes the function back: true if it has not begun and never will. Does not wait for one that runs. Any thread.
  bool stop() const noexcept;

 private:
  std::shared_ptr<detail::after_state> state_;
};

/// Runs `function` once, on a green thread of the caller's task, when `within` has ended; at once if it has. Must be
/// called on a green thread. Errors as rt::go.
///
/// The green thread belongs to the task: when the task is stopped first, the function does not run, unless `within`
/// ends with the task; it runs then, but its blocking calls throw rt::cancelled (see rt::cancellation_shield).
after_func_handle after_func(const context& within, detail::kept_function function);

/// While it lives, every blocking call of this green thread also obeys `within`: one that waits, or would wait, throws
/// rt::context_error once the context has ended. rt::yield and rt::checkpoint do too. Scopes nest; outer ones are
/// obeyed as well. When the task or scope is cancelled, it is rt::cancelled as ever. Green threads that are started
/// meanwhile do not inherit it.
///
/// An rt::cancellation_shield inside holds it back; one outside does not, so that clean-up code can bind a context with
/// a time limit. Belongs to a block, on a green thread.
class context_scope {
 public:
  explicit context_scope(const context& within);
  ~context_scope();
  context_scope(const context_scope&) = delete;
  context_scope& operator=(const context_scope&) = delete;

 private:
  context within_;
  alignas(std::max_align_t) unsigned char binding_[80];
};

/// As rt::select(cases...), until `within` ends. @throws rt::context_error then, also when it has ended before.
template <detail::select_argument... Cases>
void select(const context& within, Cases&&... cases) {
  within.throw_if_ended();
  detail::perform_select(
      [&within](detail::select_case* all, std::size_t count, std::int64_t deadline, bool poll) {
        context_scope obey(within);  // not while the handler runs
        return detail::select_wait(all, count, deadline, poll);
      },
      cases...);
}

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
void chan<T>::send(const context& within, T value) const {
  within.throw_if_ended();
  if (try_send(std::move(value))) return;
  context_scope obey(within);
  send(std::move(value));  // NOLINT(bugprone-use-after-move): try_send leaves it where it is unless it is sent
}

template <class T>
std::optional<T> chan<T>::recv(const context& within) const {
  within.throw_if_ended();
  chan_status status;
  if (std::optional<T> value = try_recv(&status); status != chan_status::would_block) return value;
  context_scope obey(within);
  return recv();
}

template <class Lock>
void condition::wait(const context& within, Lock& lock) {
  within.throw_if_ended();
  context_scope obey(within);
  wait(lock);
}

template <class Lock, class Predicate>
  requires std::is_invocable_r_v<bool, Predicate>
void condition::wait(const context& within, Lock& lock, Predicate predicate) {
  while (!predicate()) wait(within, lock);
}

}  // namespace rt
