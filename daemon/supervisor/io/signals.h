// Signals of the supervisor, delivered on its loop.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "daemon/supervisor/io/loop.h"

namespace rtd::supervisor {

class signals {
 public:
  /// Calls `action` with the number of each signal of `numbers` that comes. Signals that come at once may be merged.
  signals(loop& on, std::initializer_list<int> numbers, std::function<void(int)> action);
  ~signals();
  signals(const signals&) = delete;
  signals& operator=(const signals&) = delete;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace rtd::supervisor
