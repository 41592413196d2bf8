#include "daemon/supervisor/http_front.h"

#include "daemon/http/health.h"
#include "daemon/http/server.h"
#include "daemon/metrics/render.h"
#include "daemon/supervisor/daemon.h"

namespace rtd::supervisor {
namespace {

constexpr std::chrono::seconds stop_grace{2};

constexpr std::string_view index_page =
    "rtd\n"
    "/metrics           figures for Prometheus\n"
    "/livez             the supervisor's loop turns (?verbose)\n"
    "/readyz            every sandbox is up and every task that should run does (?verbose)\n";

}  // namespace

struct http_front::state {
  explicit state(loop& on) : server(on.context()) {}
  http::server server;
};

http_front::http_front(loop& on, log& lines, pages with, metrics::http_figures& figures)
    : state_(std::make_unique<state>(on)) {
  http::server& server = state_->server;
  server.route("/", [](const http::request&, const http::responder& to) {
    http::response page;
    page.body = index_page;
    to.answer(std::move(page));
  });
  server.route("/metrics", [make = with.metrics](const http::request&, const http::responder& to) {
    make([to](std::string text) {
      http::response page;
      page.content_type = metrics::content_type;
      page.body = std::move(text);
      to.answer(std::move(page));
    });
  });
  // That this answers at all is the check: it runs on the loop that everything depends on.
  http::route_health(server, "/livez", [] { return std::vector<http::health_check>{{"loop", true, "turns"}}; });
  http::route_health(server, "/readyz", [checks = with.readiness] {
    std::vector<http::health_check> result;
    for (auto& check : checks()) result.push_back({std::move(check.name), check.ok, std::move(check.detail)});
    return result;
  });
  server.on_request([&figures](const http::observation& seen) {
    figures.requests.record(std::string(seen.handler), std::to_string(seen.code), seen.seconds);
  });
  server.on_problem([&lines](std::string_view text) { lines.warn("http: " + std::string(text)); });
}

http_front::~http_front() = default;

void http_front::listen(const std::string& address) { state_->server.listen(address); }

void http_front::adopt(sandbox::descriptor passed) { state_->server.adopt(passed.release()); }

void http_front::close_listeners() { state_->server.close_listeners(); }

std::string http_front::address() const {
  const auto all = state_->server.addresses();
  return all.empty() ? std::string() : all.front();
}

void http_front::count_connections(metrics::http_figures& figures) const {
  const auto counts = state_->server.counts();
  figures.connections += counts.open;
  figures.connections_total["accepted"] += counts.accepted_total;
  figures.connections_total["rejected"] += counts.rejected_total;
  figures.connections_total["evicted"] += counts.evicted_total;
  figures.connections_total["timed_out"] += counts.timed_out_total;
}

void http_front::stop(std::function<void()> done) { state_->server.stop(stop_grace, std::move(done)); }

}  // namespace rtd::supervisor
