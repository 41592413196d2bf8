// The command line of rtd-host.
#pragma once

#include <optional>
#include <string>

namespace rtd::host {

struct host_options {
  int link = -1;
  std::string sandbox;
  bool confined = false;  // a policy waits in its descriptor (daemon/sandbox/policy.h)
  bool shared_root = false;  // the root is the machine's
  bool reaper = false;    // this process is to be the first one of a pid namespace and nothing else
  bool show_version = false;
  bool show_help = false;
};

/// Reads it. Nothing and a text in `problem` for what it does not understand.
std::optional<host_options> parse_options(int count, const char* const* arguments, std::string& problem);

/// What --help prints.
const char* help_text() noexcept;

}  // namespace rtd::host
