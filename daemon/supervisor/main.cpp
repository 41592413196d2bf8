// rtd: the supervisor's command line.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "daemon/config/check.h"
#include "daemon/config/config.h"
#include "daemon/protocol/version.h"
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/memory_reserve.h"

namespace {

namespace config = rtd::config;
namespace supervisor = rtd::supervisor;

constexpr int exit_start_failed = 1;
constexpr int exit_usage = 2;
constexpr const char* default_config = "/etc/rtd/rtd.json";

struct command_line {
  std::string config_file = default_config;
  std::string check_file;
  bool check = false;
  std::string runtime_dir;
  std::string state_dir;
  std::string level;
  std::string format;
};

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

supervisor::daemon_options options_of(const command_line& given) {
  supervisor::daemon_options options;
  options.config_file = absolute(given.config_file);
  options.runtime_dir = absolute(given.runtime_dir);
  options.state_dir = absolute(given.state_dir);
  for (const auto level :
       {config::log_level::debug, config::log_level::info, config::log_level::warn, config::log_level::error})
    if (given.level == to_string(level)) options.level = level;
  for (const auto format : {config::log_format::automatic, config::log_format::text, config::log_format::json,
                            config::log_format::journald})
    if (given.format == to_string(format)) options.format = format;
  return options;
}

int run(const command_line& given) {
  supervisor::daemon_options options = options_of(given);
  config::load_result loaded = config::load_file(options.config_file);
  if (!loaded.value) {
    for (const auto& problem : loaded.problems) std::cerr << config::format(problem, options.config_file) << "\n";
    return config::exit_bad_config;
  }
  // A peer that closes while we write to it is an error of that write, not the end of the daemon; so is a file that
  // would become larger than RLIMIT_FSIZE allows.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  supervisor::memory_reserve::keep();
  options.passed = supervisor::passed_sockets::from_environment();
  ::umask(022);
  supervisor::loop events_loop;
  supervisor::log lines(supervisor::make_null_writer());
  supervisor::event_log events(lines);
  supervisor::daemon whole({events_loop, lines, events}, std::move(options), std::move(*loaded.value));
  try {
    whole.start();
  } catch (const supervisor::start_error& error) {
    std::cerr << "rtd: " << error.what() << "\n";
    return exit_start_failed;
  }
  events_loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  command_line given;
  CLI::App app("rtd runs plugins in supervised hosts. It stays in the foreground; SIGHUP reloads its configuration.",
               "rtd");
  app.set_version_flag("--version", "rtd " + std::string(rtd::protocol::version()));
  app.add_option("--config", given.config_file, "The configuration file")->capture_default_str();
  auto* check = app.add_option("--check-config", given.check_file,
                               "Check a configuration file (default: that of --config) and exit: 0 good, 78 bad");
  check->expected(0, 1);
  app.add_option("--runtime-dir", given.runtime_dir,
                 "Folder of the control socket, unless the configuration names another than the default");
  app.add_option("--state-dir", given.state_dir,
                 "Folder of the state file and of crash reports; without it nothing outlives the daemon");
  app.add_option("--log-level", given.level, "Instead of the configuration's: debug, info, warn, error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option("--log-format", given.format, "Instead of the configuration's: auto, text, json, journald")
      ->check(CLI::IsMember({"auto", "text", "json", "journald"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  given.check = check->count() > 0;
  try {
    if (given.check)
      return config::check_config(given.check_file.empty() ? given.config_file : given.check_file, std::cout);
    return run(given);
  } catch (const std::exception& error) {
    std::cerr << "rtd: " << error.what() << "\n";
    return exit_start_failed;
  }
}
