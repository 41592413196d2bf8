#include "daemon/host/options.h"

#include <charconv>
#include <string_view>

#include "daemon/protocol/text.h"

namespace rtd::host {

std::optional<host_options> parse_options(int count, const char* const* arguments, std::string& problem) {
  host_options options;
  for (int i = 1; i < count; ++i) {
    std::string_view name = arguments[i];
    if (name == "--version" || name == "--help") {
      (name == "--version" ? options.show_version : options.show_help) = true;
      return options;
    }
    if (name == "--reaper" || name == "--confined" || name == "--shared-root") {
      (name == "--reaper" ? options.reaper : name == "--confined" ? options.confined : options.shared_root) = true;
      if (options.reaper) return options;
      continue;
    }
    std::string_view value;
    if (std::size_t sign = name.find('='); sign != std::string_view::npos) {
      value = name.substr(sign + 1);
      name = name.substr(0, sign);
    } else if (i + 1 < count) {
      value = arguments[++i];
    }
    if (name == "--link-fd") {
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.link);
      if (error != std::errc() || end != value.data() + value.size() || options.link < 0) {
        problem = "--link-fd wants the number of an open descriptor, not \"" + std::string(value) + "\"";
        return std::nullopt;
      }
    } else if (name == "--sandbox") {
      options.sandbox = value;
      if (!rtd::protocol::is_name(value)) {
        problem = "--sandbox wants a name, [a-z][a-z0-9_-]*, not \"" + std::string(value) + "\"";
        return std::nullopt;
      }
    } else {
      problem = "unknown option \"" + std::string(name) + "\"";
      return std::nullopt;
    }
  }
  if (options.link < 0 || options.sandbox.empty()) {
    problem = "--link-fd and --sandbox are needed";
    return std::nullopt;
  }
  return options;
}

const char* help_text() noexcept {
  return "Usage: rtd-host --link-fd N --sandbox NAME [--confined]\n"
         "\n"
         "Runs the plugins of one sandbox. It is started by rtd, which speaks to it over the stream socket N,\n"
         "and is of no use by itself.\n"
         "\n"
         "  --link-fd N      the descriptor of the link to rtd\n"
         "  --sandbox NAME   the sandbox that this host serves\n"
         "  --confined       confine the process by the policy in descriptor 6 before anything else\n"
         "  --shared-root    the root is not this process's own: what it may do with its own does not count\n"
         "  --reaper         do nothing but keep a pid namespace alive\n"
         "  --version        print the version and exit\n"
         "  --help           print this text and exit\n"
         "\n"
         "Exit status: 0 after a shutdown, 1 the runtime could not start, 2 wrong usage, 3 the link was closed,\n"
         "4 the link carried something that is no frame, 5 tasks did not end within the grace of a shutdown,\n"
         "6 a layer of the confinement that was asked for is missing.\n";
}

}  // namespace rtd::host
