// The supervisor's event loop: one thread, everything in it.
//
// The classes of this folder wrap Boost.Asio so that no other file of the supervisor includes it (it is slow to
// compile), and so that all of them share one promise: a callback runs on the loop's thread, never from inside the call
// that asked for it, and never after the object that it was given to was destroyed or cancelled. A callback may destroy
// the object that is calling it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace rtd::supervisor {

using clock = std::chrono::steady_clock;

class loop {
 public:
  loop();
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// For what speaks Asio itself (the HTTP server).
  boost::asio::io_context& context() noexcept { return *context_; }

  /// Runs callbacks until stop(). An exception from a callback ends the call: callbacks catch what they expect.
  void run();
  void stop();

  /// Runs `action` soon, after what is running now.
  void post(std::function<void()> action);

 private:
  std::unique_ptr<boost::asio::io_context> context_;
};

}  // namespace rtd::supervisor
