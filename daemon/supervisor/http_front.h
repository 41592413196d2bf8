// The daemon's HTTP server with its pages: /metrics, /livez, /readyz and an index.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/metrics/snapshot.h"
#include "daemon/sandbox/descriptor.h"
#include "daemon/supervisor/io/loop.h"
#include "daemon/supervisor/log.h"

namespace rtd::supervisor {

struct readiness_check;

class http_front {
 public:
  struct pages {
    /// Makes the text of /metrics and hands it over, now or later.
    std::function<void(std::function<void(std::string)>)> metrics;
    std::function<std::vector<readiness_check>()> readiness;
  };

  /// Figures are kept by the caller, so that they live on when the server is replaced.
  http_front(loop& on, log& lines, pages with, metrics::http_figures& figures);
  ~http_front();
  http_front(const http_front&) = delete;
  http_front& operator=(const http_front&) = delete;

  /// @throws std::runtime_error naming the address, the reason and the remedy.
  void listen(const std::string& address);
  /// Takes over a socket that listens already. @throws std::runtime_error
  void adopt(sandbox::descriptor passed);
  void close_listeners();
  /// "127.0.0.1:9180" with the real port; empty when it does not listen.
  std::string address() const;
  /// Adds the connection counts to the figures.
  void count_connections(metrics::http_figures& figures) const;
  /// Lets requests in hand finish for a moment, then calls `done`.
  void stop(std::function<void()> done);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace rtd::supervisor
