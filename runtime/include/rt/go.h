// Starting green threads, and waiting for groups of them.
//
// A green thread (G) is a function with its own guarded stack that the runtime multiplexes over kernel threads.
// Starting one costs tens of nanoseconds, so code is written as if each concurrent activity had a thread of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rt {

class context;

/// What a caller may choose for one green thread. Every field has a default that suits nearly all uses.
struct go_options {
  /// Virtual size of the stack in bytes, rounded up to the next size that the runtime keeps (64 KiB to 64 MiB, guard
  /// included). 0 takes the default of the task (see rt::run_options::stack_size). Stack memory is committed only as it
  /// is touched.
  std::size_t stack_size = 0;
  /// A name for stack dumps and crash reports. Must outlive the green thread (a string literal does). May be null.
  const char* name = nullptr;
};

/// The caller's task has as many green threads as it may (limits.green_threads of its configuration), so rt::go has
/// started nothing. Like every exception that nothing catches it fails the task. Its code is
/// std::errc::resource_unavailable_try_again: when green threads have ended, another try succeeds. The limit counts all
/// green threads of the task; those that are inside rt::go at the same moment may pass it, by one each.
class out_of_green_threads : public std::system_error {
 public:
  explicit out_of_green_threads(std::uint64_t limit);
  /// How many the task may have.
  std::uint64_t limit() const noexcept { return limit_; }

 private:
  std::uint64_t limit_;
};

namespace detail {

struct cancel_domain;

/// A green thread that has a stack and a place for its closure but does not run yet.
struct spawn_slot {
  void* green_thread;
  void* closure;
};
spawn_slot spawn_prepare(std::size_t closure_size, std::size_t closure_align, void (*entry)(void*),
                         const go_options& options);
void spawn_start(void* green_thread, cancel_domain* domain) noexcept;
void spawn_abandon(void* green_thread) noexcept;

template <class Function, class... Arguments>
struct closure {
  std::decay_t<Function> function;
  std::tuple<std::decay_t<Arguments>...> arguments;

  static void run(void* self_pointer) {
    closure* self = static_cast<closure*>(self_pointer);
    struct destroyer {
      closure* self;
      ~destroyer() { self->~closure(); }
    } destroy{self};
    std::apply(std::move(self->function), std::move(self->arguments));
  }
};

[[noreturn]] void throw_null_function();

/// std::function and what is made like it.
template <class Function>
concept may_be_empty = requires(const Function& function) {
  typename Function::result_type;
  {function == nullptr};
};

template <class Function>
void refuse_null(const Function& function) {
  if constexpr (std::is_pointer_v<Function> || std::is_member_pointer_v<Function> || may_be_empty<Function>) {
    if (function == nullptr) throw_null_function();
  }
}

template <class Function, class... Arguments>
void spawn(cancel_domain* domain, const go_options& options, Function&& function, Arguments&&... arguments) {
  using closure_type = closure<Function, Arguments...>;
  refuse_null(function);
  spawn_slot slot = spawn_prepare(sizeof(closure_type), alignof(closure_type), &closure_type::run, options);
  if constexpr (std::is_nothrow_constructible_v<std::decay_t<Function>, Function&&> &&
                (std::is_nothrow_constructible_v<std::decay_t<Arguments>, Arguments&&> && ...)) {
    ::new (slot.closure) closure_type{std::forward<Function>(function), {std::forward<Arguments>(arguments)...}};
  } else {
    try {
      ::new (slot.closure) closure_type{std::forward<Function>(function), {std::forward<Arguments>(arguments)...}};
    } catch (...) {
      spawn_abandon(slot.green_thread);
      throw;
    }
  }
  spawn_start(slot.green_thread, domain);
}

}  // namespace detail

/// Starts `function(arguments...)` on a new green thread and returns at once.
///
/// The callable and the arguments are decayed and moved onto the new green thread's stack, as std::thread does. An
/// exception that leaves the function fails the task that the green thread belongs to (in a plain program it ends the
/// process with a report).
///
/// Never blocks. May be called from any thread of a process whose runtime is started, green or not.
/// @throws std::system_error (std::errc::resource_unavailable_try_again) when no stack can be had,
/// rt::out_of_green_threads (which is one) at the limit of the task, rt::usage_error when the function is a null
/// pointer or an empty std::function; nothing has started.
template <class Function, class... Arguments>
  requires std::is_invocable_v<std::decay_t<Function>, std::decay_t<Arguments>...>
void go(Function&& function, Arguments&&... arguments) {
  detail::spawn(nullptr, go_options{}, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

/// As go(function, arguments...), with a stack size or a name of its own.
template <class Function, class... Arguments>
  requires std::is_invocable_v<std::decay_t<Function>, std::decay_t<Arguments>...>
void go(const go_options& options, Function&& function, Arguments&&... arguments) {
  detail::spawn(nullptr, options, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

/// Lets other runnable green threads go first; returns when this one is chosen again. Throws rt::cancelled when the
/// caller's task or scope has been cancelled. Outside a green thread it gives up the kernel thread's time slice.
void yield();

/// For long computations: returns at once (about a nanosecond) unless the runtime asked this green thread to make way
/// (its time slice is over, the world is being stopped, its task was cancelled). Throws rt::cancelled when cancelled.
void checkpoint();

/// Keeps the calling green thread on the kernel thread that it is on, and all others away from that one, until as many
/// calls of unlock_os_thread(): for libraries and kernel state that belong to a thread. When the green thread ends
/// locked, the kernel thread ends as well, with whatever was done to its state. Each park and wake of a locked green
/// thread costs switches between kernel threads (about 10 us). Must be called on a green thread. Does not block but for
/// a processor (P).
void lock_os_thread();
/// Takes one lock_os_thread() back; without one it does nothing. Never blocks.
void unlock_os_thread() noexcept;

/// Thrown by blocking calls, rt::yield and rt::checkpoint when the task or the scope that the caller belongs to has
/// been cancelled. Deliberately not a std::exception, so that a handler of ordinary errors lets it pass: let it unwind.
/// While an exception, this one or another, unwinds the stack it is not thrown: a destructor may block then, and has to
/// bound its waiting itself.
class cancelled {
 public:
  /// A constant text for logs.
  const char* what() const noexcept { return "cancelled"; }
};

/// True once the caller's task or scope has been cancelled. Never blocks, never throws.
bool is_cancelled() noexcept;

/// While it lives, blocking calls of this green thread do not throw rt::cancelled: for clean-up code that must still
/// wait (flush, close, say goodbye). Bound the waiting with deadlines; a task that does not end is killed in the end.
class cancellation_shield {
 public:
  cancellation_shield() noexcept;
  ~cancellation_shield();
  cancellation_shield(const cancellation_shield&) = delete;
  cancellation_shield& operator=(const cancellation_shield&) = delete;
};

/// Structured concurrency: green threads that do not outlive a block.
///
/// wait() returns when all green threads started through this scope have ended. The first exception that leaves one of
/// them cancels the others and is rethrown by wait(). A scope that is destroyed without wait() cancels its green
/// threads and waits for them. Cancellation of the surrounding task or scope reaches the green threads of this one.
///
/// A scope belongs to the green thread that made it: only that one may call wait(); go() may be called by it and by
/// the scope's own green threads.
class scope {
 public:
  scope();
  ~scope();
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;

  /// Starts `function(arguments...)` in this scope. Errors as rt::go.
  template <class Function, class... Arguments>
    requires std::is_invocable_v<std::decay_t<Function>, std::decay_t<Arguments>...>
  void go(Function&& function, Arguments&&... arguments) {
    detail::spawn(domain_, go_options{}, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
  }
  /// As go(function, arguments...), with a stack size or a name.
  template <class Function, class... Arguments>
    requires std::is_invocable_v<std::decay_t<Function>, std::decay_t<Arguments>...>
  void go(const go_options& options, Function&& function, Arguments&&... arguments) {
    detail::spawn(domain_, options, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
  }

  /// Waits for all green threads of this scope, then rethrows the first exception that left one of them.
  /// Blocks. Throws rt::cancelled (after its green threads have ended) when the caller is cancelled meanwhile.
  void wait();
  /// As wait, until `within` ends: it cancels the scope's green threads then, and throws rt::context_error when they
  /// have ended, unless one of them failed.
  void wait(const context& within);
  /// Waits up to `length` from now, or `deadline` (steady clock): false if some of its green threads have not ended,
  /// which go on then. Else as wait.
  bool wait_for(std::chrono::nanoseconds length);
  bool wait_until(std::chrono::steady_clock::time_point deadline);

  /// Cancels the scope's green threads: their blocking calls throw rt::cancelled. Returns at once. Idempotent.
  void cancel() noexcept;

 private:
  bool wait_until_deadline(std::int64_t deadline);

  detail::cancel_domain* domain_;
};

}  // namespace rt
