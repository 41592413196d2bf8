// What is to be done once, whoever comes first.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "rt/go.h"

namespace rt {

/// Runs one function once.
///
/// The first call() runs its function; calls at the same time wait until it has ended; later ones return at once. A
/// function that throws has run: its caller gets the exception, the others return. Only rt::cancelled is different: a
/// run that was cancelled with its task does not count, and the next caller runs its own function.
///
/// Waiting callers must be green threads and throw rt::cancelled. Calling it again from within the function throws
/// rt::usage_error, as it would wait for itself.
class once {
 public:
  constexpr once() noexcept = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  template <class Function, class... Arguments>
    requires std::is_invocable_v<Function, Arguments...>
  void call(Function&& function, Arguments&&... arguments) {
    if (state_.load(std::memory_order_acquire) == is_done) return;  // pairs with end
    if (!begin()) return;
    try {
      std::invoke(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    } catch (const cancelled&) {
      end(is_fresh);
      throw;
    } catch (...) {
      end(is_done);
      throw;
    }
    end(is_done);
  }
  /// Whether a run has ended.
  bool is_called() const noexcept { return state_.load(std::memory_order_acquire) == is_done; }  // pairs with end

 private:
  static constexpr std::uint32_t is_fresh = 0;
  static constexpr std::uint32_t is_running = 1;
  static constexpr std::uint32_t is_waited_for = 2;  // running, and somebody stands in the queue
  static constexpr std::uint32_t is_done = 3;

  bool begin();  // true: the caller is to run its function and to call end()
  void end(std::uint32_t state) noexcept;

  std::atomic<std::uint32_t> state_{is_fresh};
  std::atomic<const void*> runner_{nullptr};  // the green thread that runs the function
};

namespace detail {

/// What the copies of a once-function share.
template <class Function>
struct once_result {
  using value_type = std::invoke_result_t<Function&>;
  using stored_type = std::conditional_t<std::is_void_v<value_type>, std::nullptr_t, value_type>;

  explicit once_result(Function made) : function(std::move(made)) {}

  void run() {
    first.call([this] {
      try {
        if constexpr (std::is_void_v<value_type>) {
          (*function)();
        } else {
          value.emplace((*function)());
        }
      } catch (const cancelled&) {
        throw;
      } catch (...) {
        failure = std::current_exception();
      }
      function.reset();  // what it has captured is not needed any more
    });
    if (failure != nullptr) std::rethrow_exception(failure);
  }

  once first;
  std::optional<Function> function;
  std::optional<stored_type> value;
  std::exception_ptr failure;
};

}  // namespace detail

/// A function that runs `function` at its first call, and whose every call returns when that has ended. If it threw,
/// each call throws the same exception. Copies share the one run. Blocks and is cancelled as rt::once::call.
template <class Function>
auto once_function(Function function) {
  auto shared = std::make_shared<detail::once_result<Function>>(std::move(function));
  return [shared] { shared->run(); };
}

/// As once_function, for a function with a result: each call returns a reference to the one result, which lives as long
/// as a copy of the returned function does.
template <class Function>
  requires(!std::is_void_v<std::invoke_result_t<Function&>>)
auto once_value(Function function) {
  auto shared = std::make_shared<detail::once_result<Function>>(std::move(function));
  return [shared]() -> const std::invoke_result_t<Function&>& {
    shared->run();
    return *shared->value;
  };
}

}  // namespace rt
