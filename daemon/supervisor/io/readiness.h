// Waiting for a descriptor to become readable without reading from it: process descriptors, listening sockets.
#pragma once

#include <functional>
#include <memory>

#include "daemon/sandbox/descriptor.h"
#include "daemon/supervisor/io/loop.h"

namespace rtd::supervisor {

class readiness {
 public:
  /// Takes over `from`. Calls `ready` each time that the descriptor is readable: once for each rearm().
  readiness(loop& on, sandbox::descriptor from, std::function<void()> ready);
  ~readiness();
  readiness(const readiness&) = delete;
  readiness& operator=(const readiness&) = delete;

  /// Waits for the next time.
  void rearm();
  int get() const noexcept;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace rtd::supervisor
