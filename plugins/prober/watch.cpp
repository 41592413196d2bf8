#include "plugins/prober/watch.h"

#include <array>
#include <cstdio>
#include <mutex>
#include <optional>

namespace prober {

namespace {

using std::chrono::system_clock;

double in_seconds(rt::duration length) { return std::chrono::duration<double>(length).count(); }

double unix_time() { return std::chrono::duration<double>(system_clock::now().time_since_epoch()).count(); }

// "340ms", "12.3s", "5m07s", "3h12m".
std::string length_text(rt::duration length) {
  std::array<char, 32> text{};
  double seconds = in_seconds(length);
  auto whole = static_cast<long long>(seconds);
  if (seconds < 1) {
    std::snprintf(text.data(), text.size(), "%.0fms", seconds * 1000);
  } else if (whole < 60) {
    std::snprintf(text.data(), text.size(), "%.1fs", seconds);
  } else if (whole < 3600) {
    std::snprintf(text.data(), text.size(), "%lldm%02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%lldh%02lldm", whole / 3600, whole / 60 % 60);
  }
  return text.data();
}

// The series of one target. What has a meaning only after a check is made by the first one: a probe_up of 0 before it
// would raise a false alarm.
class target_metrics {
 public:
  target_metrics(const rt::task& self, const target& what)
      : task_(self),
        what_(what),
        successes_(checks("success")),
        failures_(checks("failure")),
        distribution_(self.histogram("probe_duration_distribution_seconds", "How long the successful checks took.",
                                     {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
                                     {{"target", what.text}})) {}

  void checked(const outcome& result) {
    gauge("probe_up", "Whether the last check of the target succeeded.").set(result.up() ? 1 : 0);
    gauge("probe_duration_seconds", "How long the last check took, failed or not.").set(in_seconds(result.length));
    if (what_.kind == scheme::http) {
      gauge("probe_http_status_code", "Status code of the last answer, 0 when there was none.").set(result.status);
    }
    (result.up() ? successes_ : failures_).add();
    if (result.up()) distribution_.observe(in_seconds(result.length));
  }
  void changed() {
    gauge("probe_last_change_timestamp_seconds", "When the target was last seen to go up or down.").set(unix_time());
  }

 private:
  rt::counter checks(const char* result) const {
    return task_.counter("probe_checks_total", "Checks that were made.", {{"target", what_.text}, {"result", result}});
  }
  rt::gauge gauge(const char* name, const char* help) const {
    return task_.gauge(name, help, {{"target", what_.text}});
  }

  const rt::task& task_;
  const target& what_;
  rt::counter successes_;
  rt::counter failures_;
  rt::histogram distribution_;
};

}  // namespace

board::board(const rt::task& self, std::size_t targets) : task_(self), targets_(targets), unknown_(targets) {
  for (failure reason : all_failures) {
    failures_.emplace(reason, self.counter("probe_failures_total", "Checks of any target that failed, by reason.",
                                           {{"reason", to_text(reason)}}));
  }
  show();
}

void board::changed(bool was_known, bool up) {
  std::scoped_lock lock(mutex_);
  if (!was_known) --unknown_;
  if (!up) ++down_;
  if (up && was_known) --down_;
  show();
}

void board::show() {
  std::string text = std::to_string(targets_) + (targets_ == 1 ? " target, " : " targets, ") +
                     (down_ == 0 && unknown_ == 0 ? "all up" : std::to_string(down_) + " down");
  if (unknown_ != 0) text += ", " + std::to_string(unknown_) + " not checked yet";
  task_.set_status(text);
}

void watch(const rt::task& self, board& all, const settings& how, const target& what, rt::duration delay) {
  target_metrics metrics(self, what);
  std::optional<bool> up;
  rt::time_point down_since;
  rt::time_point next = rt::now() + delay;
  while (true) {
    rt::sleep_until(next);
    rt::time_point begin = rt::now();
    outcome result = probe(what, how.expected, how.timeout);
    metrics.checked(result);
    if (!result.up()) all.failed(result.reason);
    if (up != result.up()) {
      metrics.changed();
      if (!result.up()) {
        down_since = begin;
        self.warn(what.text + " is down: " + result.detail);
      } else if (up) {
        self.info(what.text + " is up again, after " + length_text(begin - down_since));
      }
      all.changed(up.has_value(), result.up());
      up = result.up();
    }
    // Late checks are left out, not caught up with.
    next += how.interval;
    if (rt::duration late = rt::now() - next; late > rt::duration(0)) next += late / how.interval * how.interval;
  }
}

}  // namespace prober
