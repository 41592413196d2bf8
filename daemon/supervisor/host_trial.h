// A throw-away host: started only to see whether it starts and which plugins it takes, with no task, and killed after.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/supervisor/host_process.h"
#include "daemon/supervisor/plugin_info.h"
#include "daemon/supervisor/services.h"

namespace rtd::supervisor {

class host_trial {
 public:
  struct outcome {
    std::string error;                           // why the host itself is no good; empty when it is
    std::map<std::string, plugin_info> plugins;  // what was tried before that
  };

  /// Starts a host with the sandbox's settings and loads `plugins` (path by name) into it. `done` is called from the
  /// loop, once; it may destroy this object. A plugin whose load ends or hangs the host is refused and a new host tries
  /// the rest.
  host_trial(services with, std::string sandbox, const config::sandbox& settings, std::string host_binary,
             std::map<std::string, std::string> plugins, std::function<void(const outcome&)> done);
  ~host_trial();
  host_trial(const host_trial&) = delete;
  host_trial& operator=(const host_trial&) = delete;

 private:
  void launch();
  void load_next();
  void ended(const host_end& end);
  void finish(std::string error);

  services with_;
  std::string sandbox_;
  config::sandbox settings_;
  std::string host_binary_;
  const std::map<std::string, std::string> plugins_;  // what the host must be able to see
  std::map<std::string, std::string> to_load_;
  std::function<void(const outcome&)> done_;
  outcome outcome_;
  std::optional<std::string> loading_;  // the plugin whose load is waited for
  bool loading_timed_out_ = false;
  std::unique_ptr<host_process> host_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
