#include "daemon/supervisor/group_watch.h"

#include <algorithm>
#include <cstdio>

namespace rtd::supervisor {
namespace {

// Of the time since the last look: disks make everybody wait a little.
constexpr double noteworthy_wait = 0.2;

std::string in_seconds(double length) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", length);
  return text;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

std::vector<group_watch::note> group_watch::look(const sandbox::group_counts& counts,
                                                 const config::limit_settings& limits, clock::time_point now) {
  if (!totals_) totals_.emplace();
  // A count never falls, unless the kernel has been asked in vain.
  const auto more = [](auto after, auto before) { return after > before ? after - before : decltype(after){}; };
  const auto refused = more(counts.threads_refused, before_.threads_refused);
  const auto throttles = more(counts.cpu_throttles, before_.cpu_throttles);
  const double throttled = more(counts.cpu_throttled_seconds, before_.cpu_throttled_seconds);
  const double waited = more(counts.io_waited_seconds, before_.io_waited_seconds);
  totals_->threads_refused_total += refused;
  totals_->cpu_throttles_total += throttles;
  totals_->cpu_throttled_seconds_total += throttled;
  totals_->io_waited_seconds_total += waited;
  const double length = looked_at_ == clock::time_point{} ? 0 : std::chrono::duration<double>(now - looked_at_).count();
  before_ = counts;
  looked_at_ = now;

  std::vector<note> notes;
  const auto met = [&](const char* limit, std::string text) {
    const auto last = met_at_.find(limit);
    if (last == met_at_.end() || now - last->second >= silence) notes.push_back({limit, std::move(text)});
    met_at_[limit] = now;
  };
  if (limits.threads > 0 && refused > 0) {
    met("threads", "limits.threads (" + std::to_string(limits.threads) + ") was reached and " +
                       std::to_string(refused) + " threads or processes were not started: raise it, or start fewer");
  }
  if (limits.cpus > 0 && throttles > 0) {
    met("cpus", "limits.cpus (" + number(limits.cpus) + ") was reached and its threads waited " +
                    in_seconds(throttled) + ": raise it, or compute less");
  }
  if ((limits.io_read > 0 || limits.io_write > 0) && length > 0 && waited > noteworthy_wait * length) {
    met("io", "its reads and writes waited " + in_seconds(std::min(waited, length)) + " of the last " +
                  in_seconds(length) + ": raise limits.io_read or limits.io_write, or read and write less");
  }
  return notes;
}

void group_watch::host_ended() {
  before_ = {};
  looked_at_ = {};
}

}  // namespace rtd::supervisor
