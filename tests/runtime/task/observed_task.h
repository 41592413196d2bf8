// A task for tests, and what it reports.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rt/time.h"
#include "runtime/task/task_state.h"

namespace rt_test {

/// A task with what it reported.
struct observed_task {
  explicit observed_task(void (*function)(rt::task&), std::size_t stack_size = 0,
                         const rt::detail::task_limits& limits = {}) {
    rt::detail::task_spec spec;
    spec.id = "observed";
    spec.plugin = "test";
    spec.entry = "entry";
    spec.function = function;
    spec.stack_size = stack_size;
    spec.limits = limits;
    log->set_level(rt::log_level::debug);
    state = std::make_unique<rt::detail::task_state>(
        std::move(spec), log,
        [this](rt::detail::task_state&, rt::detail::task_phase phase, const std::string& error) {
          std::lock_guard guard(lock);
          phases.push_back(phase);
          if (is_final(phase)) last_error = error;
        },
        nullptr, [this] { limit_calls.fetch_add(1); });
  }

  rt::detail::task_phase wait_for_end() const {
    while (!is_final(state->phase())) rt::sleep_for(std::chrono::microseconds(100));
    return state->phase();
  }
  rt::detail::task_phase wait_for(rt::detail::task_phase wanted) const {
    while (state->phase() < wanted) rt::sleep_for(std::chrono::microseconds(100));
    return state->phase();
  }
  std::vector<rt::detail::task_phase> reported() {
    while (state->green_threads() != 0)
      rt::sleep_for(std::chrono::microseconds(100));  // the report comes just after the phase
    std::lock_guard guard(lock);
    return phases;
  }
  std::vector<std::string> lines() const {
    std::vector<rt::detail::log_line> taken;
    log->take(taken);
    std::vector<std::string> texts;
    for (const rt::detail::log_line& line : taken) texts.push_back(line.message);
    return texts;
  }
  std::string error() {
    reported();
    std::lock_guard guard(lock);
    return last_error;
  }

  std::shared_ptr<rt::detail::log_queue> log = std::make_shared<rt::detail::log_queue>(100'000);
  std::mutex lock;
  std::vector<rt::detail::task_phase> phases;
  std::string last_error;
  std::atomic<int> limit_calls{0};  // of the callback
  std::unique_ptr<rt::detail::task_state> state;
};

}  // namespace rt_test
