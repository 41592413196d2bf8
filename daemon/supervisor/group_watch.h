// What is told when a limit of a sandbox's control group is met.
//
// The kernel counts in the group's files, which go with the host. They are looked at with each heartbeat and once more
// when the host has ended; totals of all hosts that the sandbox has had go to the metrics.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/metrics/snapshot.h"
#include "daemon/sandbox/cgroup.h"

namespace rtd::supervisor {

class group_watch {
 public:
  using clock = std::chrono::steady_clock;
  struct note {
    std::string limit;  // its key below `limits`; "io" for those of input and output
    std::string text;
  };
  /// A limit that is met again and again is told once; after so long without it, again.
  static constexpr std::chrono::seconds silence{10};

  /// `counts` of the running host's group at `now`. Returns what is to be told.
  std::vector<note> look(const sandbox::group_counts& counts, const config::limit_settings& limits,
                         clock::time_point now);
  /// The next counts are of another group, which begins at 0.
  void host_ended();
  /// Of all hosts; nothing until one had a group.
  const std::optional<metrics::group_figures>& totals() const noexcept { return totals_; }

 private:
  std::optional<metrics::group_figures> totals_;
  sandbox::group_counts before_;
  clock::time_point looked_at_{};
  std::map<std::string, clock::time_point> met_at_;
};

}  // namespace rtd::supervisor
