// The /metrics page: asks every host for its figures, waits for them for a moment, renders.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "daemon/metrics/snapshot.h"

namespace rtd::supervisor {

class daemon;
class http_front;

class metrics_page {
 public:
  /// How long a page waits for a host.
  static constexpr std::chrono::milliseconds host_timeout{500};

  explicit metrics_page(daemon& of) : daemon_(of) {}

  /// Makes a page and hands it over, from the loop.
  void make(std::function<void(std::string)> done);

  /// Filled by the HTTP server.
  metrics::http_figures& http_figures() noexcept { return http_; }
  /// An HTTP server that is being replaced: its connection counts must not be lost.
  void keep_counts(const http_front& former);

 private:
  std::string render(const std::map<std::string, bool>& answered, std::chrono::steady_clock::time_point began);

  daemon& daemon_;
  metrics::http_figures http_;  // requests, and connections of former servers
  metrics::histogram collect_duration_{metrics::latency_bounds()};
  std::uint64_t conflicts_ = 0;
};

}  // namespace rtd::supervisor
