// The host's own kernel threads: those that no green thread can hold up.
#pragma once

#include <thread>
#include <utility>

namespace rtd::host {

/// Gives the calling thread a stack of its own for signal handlers as long as it lives, so that even an overflow of the
/// thread's stack is reported. Made and destroyed by the thread itself.
class signal_stack {
 public:
  /// Without memory for it the thread goes on without one.
  signal_stack() noexcept;
  ~signal_stack();
  signal_stack(const signal_stack&) = delete;
  signal_stack& operator=(const signal_stack&) = delete;

 private:
  void* memory_;
};

/// Names the calling thread; at most 15 bytes.
void name_thread(const char* name) noexcept;

/// Runs `function` on a new thread with a name and a signal stack. @throws std::system_error
template <class Function>
std::thread start_thread(const char* name, Function function) {
  return std::thread([name, function = std::move(function)]() mutable {
    name_thread(name);
    signal_stack alternate;
    function();
  });
}

}  // namespace rtd::host
