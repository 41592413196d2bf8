// The statistics of a sandbox's host, which are its heartbeat as well.
#include <algorithm>

#include "daemon/supervisor/managed_sandbox.h"
#include "daemon/supervisor/seconds_text.h"

namespace rtd::supervisor {

using nlohmann::json;
using namespace std::chrono_literals;

void managed_sandbox::forget_figures_of(std::string_view task) {
  if (statistics_asked_) ended_while_asked_.emplace_back(task);
  if (statistics_) std::erase_if(statistics_->tasks, [&](const metrics::host_task& one) { return one.id == task; });
}

void managed_sandbox::heartbeat() {
  sandbox::reap_lingering();
  if (!is_up()) return;
  if (!host_->group().empty()) look_at_group(sandbox::counts_of(host_->group()));
  if (!statistics_asked_) {
    suspected_ = false;
    send_statistics_request();
  } else if (clock::now() - *statistics_asked_ > watchdog_timeout) {
    // Late twice in a row: had the supervisor itself been stopped (a debugger, a suspended machine), the answer that
    // waits in the socket is read between the two looks.
    if (suspected_) return host_->kill("watchdog", "no answer for " + seconds_text(clock::now() - *statistics_asked_));
    suspected_ = true;
  }
  heartbeat_timer_.start(suspected_ ? std::chrono::nanoseconds(500ms) : heartbeat_interval, [this] { heartbeat(); });
}

void managed_sandbox::look_at_group(const sandbox::group_counts& counts) {
  for (const group_watch::note& met : group_watch_.look(counts, settings_.limits, clock::now()))
    with_.events.add(log_level::warn, "sandbox_limit", name_, {}, "sandbox " + name_ + ": " + met.text,
                     {{"limit", met.limit}});
}

void managed_sandbox::send_statistics_request() {
  statistics_asked_ = clock::now();
  ended_while_asked_.clear();
  host_->request("stats", json::object(), std::chrono::hours(24),
                 [this](const host_answer& answer) { statistics_answered(answer); });
}

void managed_sandbox::statistics_answered(const host_answer& answer) {
  if (answer.error_kind == "unavailable") return;  // ended() clears up
  statistics_asked_.reset();
  std::string problem = answer.message;
  std::optional<metrics::host_snapshot> read;
  if (answer.good()) read = metrics::parse_host_stats(answer.result, problem);
  if (read) {
    if (statistics_) metrics::keep_monotonic(*read, *statistics_);
    // The host may have read its figures before the end of a task that it told before them. What the task has used is
    // in its totals by now. A later run of it is not in this answer: it was asked for after these figures.
    std::erase_if(read->tasks, [&](const metrics::host_task& one) {
      return std::ranges::find(ended_while_asked_, one.id) != ended_while_asked_.end();
    });
    statistics_ = std::move(read);
    statistics_at_ = std::chrono::system_clock::now();
    statistics_bad_ = false;
  } else if (!std::exchange(statistics_bad_, true)) {
    with_.lines.write(log_level::error, "the host's statistics cannot be used: " + problem, name_);
  }
  answer_refreshes(!statistics_bad_);
}

void managed_sandbox::refresh(std::chrono::nanoseconds timeout, std::function<void(bool)> done) {
  const bool fresh = statistics_ && std::chrono::system_clock::now() - statistics_at_ < 100ms;
  if (!is_up() || fresh) return with_.events_loop.post([done = std::move(done), good = is_up()] { done(good); });
  refresh_waiter waiter{std::move(done), std::make_unique<timer>(with_.events_loop)};
  waiter.deadline->start(timeout, [this, which = waiter.deadline.get()] {
    for (auto at = refreshes_.begin(); at != refreshes_.end(); ++at)
      if (at->deadline.get() == which) {
        const refresh_waiter late = std::move(*at);
        refreshes_.erase(at);
        return late.done(false);
      }
  });
  refreshes_.push_back(std::move(waiter));
  if (!statistics_asked_) send_statistics_request();
}

void managed_sandbox::answer_refreshes(bool good) {
  for (auto& waiter : std::exchange(refreshes_, {})) waiter.done(good);
}

}  // namespace rtd::supervisor
