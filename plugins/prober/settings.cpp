#include "plugins/prober/settings.h"

#include <algorithm>

namespace prober {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr rt::duration shortest_interval = milliseconds(10);

// How the operator wrote it, or what counts when it was not written.
std::string shown(const rt::task& self, std::string_view key, const char* fallback) {
  return '"' + self.param(key, fallback) + '"';
}

std::vector<target> read_targets(const rt::task& self) {
  std::vector<std::string> texts = self.param_list("targets");
  if (texts.empty()) {
    throw rt::bad_parameter(
        "parameter \"targets\" is missing or empty; give a list such as [\"tcp://db:5432\", \"http://web/health\"]");
  }
  if (texts.size() > most_targets) {
    throw rt::bad_parameter("parameter \"targets\" has " + std::to_string(texts.size()) + " entries, more than " +
                            std::to_string(most_targets) + "; share them out among several tasks");
  }
  return parse_targets(texts);
}

}  // namespace

settings read_settings(const rt::task& self) {
  std::vector<target> targets = read_targets(self);
  rt::duration interval = self.param_duration("interval", seconds(5));
  rt::duration timeout = self.param_duration("timeout", std::min<rt::duration>(seconds(2), interval));
  rt::duration jitter = self.param_duration("jitter", std::min<rt::duration>(seconds(1), interval));
  if (interval < shortest_interval) {
    throw rt::bad_parameter("parameter \"interval\" is " + shown(self, "interval", "5s") +
                            ", but must be at least 10ms");
  }
  if (timeout <= rt::duration(0) || timeout > interval) {
    throw rt::bad_parameter("parameter \"timeout\" is " + shown(self, "timeout", "2s") +
                            ", but must be more than 0 and at most the interval, " + shown(self, "interval", "5s"));
  }
  if (jitter > interval) {
    throw rt::bad_parameter("parameter \"jitter\" is " + shown(self, "jitter", "1s") +
                            ", but must be at most the interval, " + shown(self, "interval", "5s"));
  }
  std::vector<std::string> statuses = self.param_list("expect_status");
  // A list that was given and is empty reads like none; no expectation at all is surely meant as the default.
  if (statuses.empty()) statuses.emplace_back("2xx");
  return {std::move(targets), interval, timeout, jitter, {status_set(statuses), self.param("expect_text", "")}};
}

}  // namespace prober
