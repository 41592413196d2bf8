#include "runtime/task/task_state.h"

#include "rt/go.h"
#include "runtime/os/clock.h"
#include "runtime/sched/park.h"
#include "runtime/sched/sharing_domain.h"
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

task_state::task_state(task_spec spec, std::shared_ptr<log_queue> log, phase_callback on_phase,
                       deadlock_callback on_deadlock, limit_callback on_limit)
    : identity_(std::make_shared<const task_identity>(
          task_identity{std::move(spec.id), std::move(spec.plugin), std::move(spec.entry)})),
      parameters_(std::move(spec.parameters)),
      listeners_(std::move(spec.listeners)),
      function_(spec.function),
      log_(std::move(log)),
      on_phase_(std::move(on_phase)),
      on_deadlock_(std::move(on_deadlock)),
      on_limit_(std::move(on_limit)),
      deadlock_fails_(spec.on_deadlock == deadlock_policy::fail),
      started_at_(std::chrono::system_clock::now()),
      group_(identity_->id, spec.stack_size, &task_state::take_exception, this) {
  group_.set_share(spec.weight, spec.scheduling);
  group_.limits.tell(&task_state::take_met_limit);
  set_limits(spec.limits);
  bool looked_for = spec.on_deadlock != deadlock_policy::ignore;
  group_.watch(domain_named(identity_->plugin), looked_for ? &task_state::take_deadlock : nullptr);
}

task_state::~task_state() { group_.wait_until_at_most(0, no_deadline); }

void task_state::start() {
  go_options options;
  options.stack_size = group_.stack_size;
  options.name = "task";
  spawn(&group_.domain, options, [this] { run(); });
}

// Drains as well: whoever waits for drain_context() need not know which rung the stop began with.
void task_state::ask_for_stop() noexcept {
  stop_asked_.store(true, std::memory_order_release);  // pairs with the loads in fail and draining
  rt::cancellable_context made;
  {
    os::spin_guard guard(lock_);
    drained_ = true;
    made = drain_;
  }
  if (made.core() != nullptr) made.cancel();
}

void task_state::drain() noexcept { ask_for_stop(); }

void task_state::cancel_context() noexcept {
  ask_for_stop();
  try {
    context();  // so that one which is asked for later has ended, too
  } catch (const std::bad_alloc&) {
    // Then nobody can have had it, and the next rung ends the task.
  }
  group_.cancel_context();
}

void task_state::stop() noexcept {
  ask_for_stop();
  group_.domain.cancel();
  group_.set_cpu_quota(0);  // after the flag: set_limits looks at it
}

rt::context task_state::drain_context() {
  rt::cancellable_context fresh = with_cancel(context());
  rt::cancellable_context result;
  bool ended = false;
  {
    os::spin_guard guard(lock_);
    if (drain_.core() == nullptr) drain_ = fresh;
    result = drain_;
    ended = drained_;
  }
  if (ended) result.cancel();
  return result;
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
  group_.set_cpu_quota(0);
  end_values(*current_green_thread());  // now: the end of the task is reported before that of this green thread
  group_.wait_until_at_most(1, no_deadline);
  group_.end_housekeepers();
  group_.wait_until_at_most(1, no_deadline);  // what those have started meanwhile
  while (group_.destroy_values()) group_.wait_until_at_most(1, no_deadline);

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
    if (!note_failure(text) && !stop_asked_.load(std::memory_order_acquire)) {
      write_line(log_level::warn, "another green thread of the failed task ended by " + text);
    }
  } catch (const std::bad_alloc&) {
    os::spin_guard guard(lock_);
    has_error_ = has_failed_ = true;  // without a text, there is no memory for one
  }
  group_.domain.cancel();
}

// Keeps the first error. False when there was one already.
bool task_state::note_failure(std::string& text) noexcept {
  os::spin_guard guard(lock_);
  if (has_error_) return false;
  has_error_ = true;
  has_failed_ = !stop_asked_.load(std::memory_order_acquire);
  error_.swap(text);
  return true;
}

void task_state::take_deadlock(group& dead) noexcept {
  auto& self = *static_cast<task_state*>(dead.owner);
  std::string what;
  try {
    std::uint64_t count = dead.live();
    what = count == 1 ? "deadlock: the task's green thread waits, and nothing is left that could wake it"
                      : "deadlock: all " + std::to_string(count) +
                            " green threads of the task wait, and nothing is left that could wake one";
    self.write_line(log_level::error, what);
    self.log_stacks();
    if (self.deadlock_fails_) {
      std::string text = what;
      self.note_failure(text);
    }
  } catch (const std::bad_alloc&) {
    if (self.deadlock_fails_) self.note_failure(what);
  }
  // Before the cancel: the deadlock is told before the end to which it leads.
  if (self.on_deadlock_) self.on_deadlock_(self, what);
  if (self.deadlock_fails_) dead.domain.cancel();
}

// Each stack is one line of the log, with the frames one after the other.
void task_state::log_stacks() const {
  constexpr std::size_t most_stacks = 50;
  for (const green_thread_info& one : all_green_threads(most_stacks, identity_->id)) {
    std::string text = to_text(one);
    std::string line;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\n') {
        line += text[i] == '\t' ? ' ' : text[i];
      } else if (i + 1 < text.size() && text[i + 1] != '\t' && text[i + 1] != '\n') {
        line += line.ends_with(':') ? " " : " <- ";
      }
    }
    write_line(log_level::error, line);
  }
  if (std::uint64_t count = group_.live(); count > most_stacks) {
    write_line(log_level::error, std::to_string(count - most_stacks) + " more green threads are not shown");
  }
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

void task_state::log(log_level level, std::string_view message) noexcept {
  if (!log_->wants(level)) return;
  if (log_rate_.admit(os::nanotime())) {
    write_line(level, message);
  } else {
    drop_line();
  }
}

void task_state::write_line(log_level level, std::string_view message) const noexcept {
  if (!log_->wants(level)) return;
  try {
    log_->push({identity_, level, std::chrono::system_clock::now(), printable_text(message, most_line_bytes)});
  } catch (const std::bad_alloc&) {
    log_->count_dropped();
  }
}

}  // namespace rt::detail
