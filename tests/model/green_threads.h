// Green threads for the model: each one is a thread of the execution, on an M of its own, so parking is waiting for a
// claim, and making ready is an end of that wait. The park word is the real one (sched/park_word.h); what the scheduler
// does between a claim and the next run is one store and one acquire here, as the run queues give it.
//
// A timer that is due is a thread that sets the clock (system.h) and unparks the sleeper.
//
// Linked instead of sched/park.cpp, together with the real sources of the synchronisation primitives.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "runtime/sched/park.h"
#include "tests/model/checker/model.h"

namespace rt_model {

struct green : rt::detail::green_thread {
  green() : root(nullptr) {
    domain = &root;
    m.current = this;
    rt_model::name(&park, "park word");
    rt_model::name(&ready, "ready");
  }

  /// Starts it as a thread of the execution.
  void run(std::function<void()> body);
  /// What a cancel does to it (sched/cancel_domain.cpp).
  void cancel() noexcept;

  rt::detail::cancel_domain root;
  rt::detail::worker m;
  std::atomic<std::uint32_t> ready{0};
};

}  // namespace rt_model
