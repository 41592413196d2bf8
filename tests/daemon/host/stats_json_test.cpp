// The runtime's figures go out under their own names.
#include "daemon/host/stats_json.h"

#include <gtest/gtest.h>

#include <utility>

namespace rtd::host::test {

TEST(stats_json, figures_of_threads_and_preemption_are_not_mixed_up) {
  rt::runtime_stats figures;
  figures.threads = 1;
  figures.threads_running = 2;
  figures.threads_idle = 3;
  figures.threads_blocked = 4;
  figures.threads_spinning = 5;
  figures.threads_frozen = 6;
  figures.threads_created_total = 7;
  figures.threads_ended_total = 8;
  figures.threads_refused_total = 9;
  figures.handoffs_total = 10;
  figures.preempt_requests_total = 11;
  figures.preemptions_total = 12;
  figures.preempt_signals_total = 13;
  figures.freezes_total = 14;
  figures.retakes_total = 15;
  const nlohmann::json made = to_json(figures);
  const std::pair<const char*, int> expected[] = {
      {"threads", 1},
      {"threads_running", 2},
      {"threads_idle", 3},
      {"threads_blocked", 4},
      {"threads_spinning", 5},
      {"threads_frozen", 6},
      {"threads_created_total", 7},
      {"threads_ended_total", 8},
      {"threads_refused_total", 9},
      {"handoffs_total", 10},
      {"preempt_requests_total", 11},
      {"preemptions_total", 12},
      {"preempt_signals_total", 13},
      {"freezes_total", 14},
      {"retakes_total", 15},
  };
  for (const auto& [name, value] : expected) EXPECT_EQ(made.at(name), value) << name;
}

}  // namespace rtd::host::test
