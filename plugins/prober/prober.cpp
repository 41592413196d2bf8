// prober: checks TCP and HTTP endpoints on a schedule; up or down, latency and status are metrics.
//
// target.h reads what is probed, settings.h the parameters; probe.h makes one check, watch.h one after the other.
#include <rt/rt.h>

#include <random>

#include "plugins/prober/settings.h"
#include "plugins/prober/watch.h"

namespace {

void run(rt::task& self) {
  const prober::settings how = prober::read_settings(self);
  prober::board board(self, how.targets.size());
  // So that targets are not all checked at the same moment, nor by all probers that were started together.
  std::mt19937_64 random(std::random_device{}());
  std::uniform_int_distribution<rt::duration::rep> delay(0, how.jitter.count());

  rt::scope scope;
  for (const prober::target& target : how.targets) {
    scope.go({.name = "probe"}, [&self, &board, &how, &target, after = rt::duration(delay(random))] {
      prober::watch(self, board, how, target, after);
    });
  }
  self.info("probing " + std::to_string(how.targets.size()) + (how.targets.size() == 1 ? " target" : " targets") +
            " every " + self.param("interval", "5s"));
  scope.wait();
}

}  // namespace

RT_PLUGIN("prober", "1.0.0", "Checks TCP and HTTP endpoints on a schedule")
RT_ENTRY(run, "Probes until it is stopped; params: targets, interval, timeout, jitter, expect_status, expect_text")
