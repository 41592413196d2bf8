#include "daemon/supervisor/metrics_page.h"

#include <memory>
#include <new>

#include "daemon/metrics/process.h"
#include "daemon/metrics/render.h"
#include "daemon/protocol/version.h"
#include "daemon/supervisor/daemon.h"

#ifndef RTD_REVISION
#error "RTD_REVISION must come from the build"
#endif

namespace rtd::supervisor {
namespace {

// Counts the answers that are still missing; the last one to let go of it renders the page.
struct gathering {
  std::map<std::string, bool> answered;
  std::size_t missing = 0;
};

}  // namespace

void metrics_page::make(std::function<void(std::string)> done) {
  const auto began = clock::now();
  auto gathered = std::make_shared<gathering>();
  gathered->missing = daemon_.sandboxes().size() + 1;
  const auto finish_one = [this, gathered, began, done = std::move(done)] {
    if (--gathered->missing != 0) return;
    try {
      done(render(gathered->answered, began));
    } catch (const std::bad_alloc&) {
      // Caught here, not by the host whose answer was the last. Who asked is told when `done` goes.
      daemon_.with().lines.warn("there is no memory for the page of metrics");
    }
  };
  for (const auto& [name, sandbox] : daemon_.sandboxes())
    sandbox->refresh(host_timeout, [gathered, name = name, finish_one](bool good) {
      gathered->answered[name] = good;
      finish_one();
    });
  daemon_.with().events_loop.post(finish_one);
}

void metrics_page::keep_counts(const http_front& former) {
  former.count_connections(http_);
  http_.connections = 0;
}

std::string metrics_page::render(const std::map<std::string, bool>& answered, clock::time_point began) {
  metrics::daemon_snapshot page;
  page.build = {std::string(protocol::version()), RTD_REVISION, std::string(protocol::compiler())};
  page.config = daemon_.config_figures();
  page.control = daemon_.control().figures();
  page.http = http_;
  if (const http_front* front = daemon_.http()) front->count_connections(page.http);
  page.log.messages_total = daemon_.with().lines.counts();
  page.log.dropped_total = daemon_.with().lines.dropped();
  if (const state_store* state = daemon_.state()) page.state = state->figures();
  page.loop_lag = daemon_.loop_lag();
  page.process = metrics::read_self();
  page.go_compat = daemon_.configuration().metrics.go_compat;
  page.replacements_total = daemon_.replacements();
  for (const auto& [name, plugin] : daemon_.configuration().plugins) page.replacements_total[name];  // zeroes
  page.task_metric_conflicts_total = conflicts_;
  for (const auto& [name, sandbox] : daemon_.sandboxes()) {
    metrics::sandbox_snapshot one = sandbox->snapshot();
    const auto answer = answered.find(name);
    one.up = answer != answered.end() && answer->second;
    for (const auto& [task_name, task] : daemon_.tasks().all())
      if (task->spec.sandbox == name) one.tasks.push_back(task->figures());
    page.sandboxes.push_back(std::move(one));
  }
  collect_duration_.observe(std::chrono::duration<double>(clock::now() - began).count());
  page.collect_duration = collect_duration_;
  metrics::render_report report;
  std::string text = metrics::render(page, &report);
  conflicts_ += report.conflicts;
  return text;
}

}  // namespace rtd::supervisor
