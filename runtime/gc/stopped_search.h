// A look at everything that is reachable, made in the last stop of a collection (collector::search).
#pragma once

#include <atomic>

#include "runtime/gc/roots.h"

namespace rt::detail {

class stopped_search {
 public:
  stopped_search() noexcept = default;
  stopped_search(const stopped_search&) = delete;
  stopped_search& operator=(const stopped_search&) = delete;

  /// With the world stopped and marking complete; `data` are the data segments, found before the stop. Once.
  void run(const root_ranges& data, root_range host_stack) noexcept {
    if (is_done()) return;
    look(data, host_stack);
    done_.store(true, std::memory_order_release);  // pairs with is_done
  }
  bool is_done() const noexcept { return done_.load(std::memory_order_acquire); }  // pairs with run

 protected:
  ~stopped_search() = default;

 private:
  virtual void look(const root_ranges& data, root_range host_stack) noexcept = 0;

  std::atomic<bool> done_{false};
};

}  // namespace rt::detail
