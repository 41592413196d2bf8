#include "runtime/task/task_state.h"

#include "rt/go.h"
#include "runtime/task/exception_text.h"
#include "runtime/task/printable_text.h"

namespace rt::detail {

const char* to_text(task_phase phase) noexcept {
  switch (phase) {
    case task_phase::starting:
      return "starting";
    case task_phase::running:
      return "running";
    case task_phase::draining:
      return "draining";
    case task_phase::completed:
      return "completed";
    case task_phase::failed:
      return "failed";
    case task_phase::cancelled:
      return "cancelled";
  }
  return "starting";
}

task_state::task_state(task_spec spec, std::shared_ptr<log_queue> log, phase_callback on_phase)
    : identity_(std::make_shared<const task_identity>(
          task_identity{std::move(spec.id), std::move(spec.plugin), std::move(spec.entry)})),
      parameters_(std::move(spec.parameters)),
      function_(spec.function),
      log_(std::move(log)),
      on_phase_(std::move(on_phase)),
      started_at_(std::chrono::system_clock::now()),
      group_(identity_->id, spec.stack_size, &task_state::take_exception, this) {}

task_state::~task_state() { group_.wait_until_at_most(0, no_deadline); }

void task_state::start() {
  go_options options;
  options.stack_size = group_.stack_size;
  options.name = "task";
  spawn(&group_.domain, options, [this] { run(); });
}

void task_state::stop() noexcept {
  stop_asked_.store(true, std::memory_order_release);  // pairs with the loads in fail
  group_.domain.cancel();
}

void task_state::advance(task_phase to) noexcept { phase_.store(to, std::memory_order_release); }

void task_state::run() noexcept {
  // The same word as below, not stop_asked_: between the two of stop(), a task that was never begun would have
  // completed.
  if (!stopping()) {
    advance(task_phase::running);
    on_phase_(*this, task_phase::running, {});
    try {
      function_(face_);
    } catch (const rt::cancelled&) {
      // The usual way out of a stopped task. Without a stop the cancellation came from a failure or from the runtime's
      // end.
    } catch (...) {
      fail(std::current_exception());
    }
  }
  bool ended_by_itself = !stopping();
  advance(task_phase::draining);
  group_.domain.cancel();
  group_.wait_until_at_most(1, no_deadline);

  task_phase outcome;
  std::string error;
  {
    os::spin_guard guard(lock_);
    outcome = has_failed_ ? task_phase::failed : ended_by_itself ? task_phase::completed : task_phase::cancelled;
    error.swap(error_);
  }
  advance(outcome);
  on_phase_(*this, outcome, error);
}

void task_state::take_exception(group& failed, std::exception_ptr error) noexcept {
  static_cast<task_state*>(failed.owner)->fail(error);
}

void task_state::fail(const std::exception_ptr& error) noexcept {
  try {
    std::string text = exception_text(error);
    bool is_first = false;
    {
      os::spin_guard guard(lock_);
      if (!has_error_) {
        is_first = has_error_ = true;
        has_failed_ = !stop_asked_.load(std::memory_order_acquire);
        error_.swap(text);
      }
    }
    if (!is_first && !stop_asked_.load(std::memory_order_acquire)) {
      log(log_level::warn, "another green thread of the failed task ended by " + text);
    }
  } catch (const std::bad_alloc&) {
    os::spin_guard guard(lock_);
    has_error_ = has_failed_ = true;  // without a text, there is no memory for one
  }
  group_.domain.cancel();
}

std::string task_state::status() const {
  std::string copy;
  copy.reserve(most_status_bytes);
  os::spin_guard guard(lock_);
  copy = status_;
  return copy;
}

void task_state::set_status(std::string_view text) {
  std::string fresh = printable_text(text, most_status_bytes);
  os::spin_guard guard(lock_);
  status_.swap(fresh);
}

void task_state::log(log_level level, std::string_view message) const noexcept {
  if (!log_->wants(level)) return;
  try {
    log_->push({identity_, level, std::chrono::system_clock::now(), printable_text(message, most_line_bytes)});
  } catch (const std::bad_alloc&) {
    log_->count_dropped();
  }
}

}  // namespace rt::detail
