// Work that blocks its kernel thread: foreign libraries, file I/O, locks of the operating system.
#pragma once

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {
void blocking_enter() noexcept;
void blocking_exit() noexcept;
struct blocking_region {
  blocking_region() noexcept { blocking_enter(); }
  ~blocking_region() { blocking_exit(); }
  blocking_region(const blocking_region&) = delete;
  blocking_region& operator=(const blocking_region&) = delete;
};
}  // namespace detail

/// Runs `function` on the calling kernel thread and gives its processor (P) to other green threads meanwhile, so that a
/// call which blocks for long holds nobody up. Returns what the function returns; its exceptions pass through.
///
/// Inside, blocking calls of the runtime (channels, sleeps, sockets) are not allowed and end the process with a report:
/// the caller has no processor to give. rt::go, notify, try_send and unlock are allowed. May be nested. Outside a green
/// thread it just calls the function.
template <class Function>
decltype(auto) blocking(Function&& function) {
  detail::blocking_region region;
  return std::forward<Function>(function)();
}

}  // namespace rt
