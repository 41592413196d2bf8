// The link to a host: what a hostile host may write, as the supervisor reads it.
//
// An input that begins with '{' is the payload of one frame, so that it needs no length; of any other, the first byte
// says in what pieces the rest arrives as a stream of frames.
#include <string>

#include "daemon/metrics/host_stats.h"
#include "daemon/protocol/framing.h"
#include "daemon/protocol/json.h"
#include "daemon/supervisor/crash_report.h"
#include "daemon/supervisor/grant_proposal.h"
#include "daemon/supervisor/host_message.h"
#include "daemon/supervisor/plugin_info.h"
#include "tests/fuzz/fuzz.h"

namespace {

using nlohmann::json;
using namespace rtd;
using fuzz::require;

// Short, so that an input of the usual size goes beyond it.
constexpr std::size_t most_frame_bytes = 2048;

void check_stats(const json& result) {
  std::string error;
  auto now = metrics::parse_host_stats(result, error);
  require(now.has_value() == error.empty(), "figures are read, or there is a reason");
  if (!now) return;
  metrics::host_snapshot later = *now;
  metrics::keep_monotonic(later, *now);
  require(later.runtime.switches_total == now->runtime.switches_total, "what is the same does not change");
}

// The answers of all kinds of requests: a host may answer any with anything.
void check_answer(const supervisor::host_answer& answer) {
  require(answer.good() || answer.result.empty(), "a result or an error");
  const auto plugin = supervisor::read_plugin_answer("plugin", "/plugin.so", answer);
  require(plugin.loaded || !plugin.error_kind.empty(), "a plugin is loaded, or there is a reason");
  require(json::accept(protocol::to_line(plugin.to_json())), "a plugin is shown as JSON");
  check_stats(answer.result);
  const json grants =
      supervisor::propose_grants(answer.result, {{"plugin", "/plugins/plugin.so"}}, "/usr/bin/rtd-host", true);
  require(grants.is_object(), "grants are an object");
}

void check_frame(const std::string& frame) {
  std::string problem;
  const auto message = supervisor::read_host_message(frame, problem);
  require(message.has_value() == problem.empty(), "a frame is read, or there is a reason");
  if (!message) return;
  if (message->event.is_null()) return check_answer(message->answer);
  const json report = supervisor::checked_crash_report(message->event);
  require(!supervisor::describe_crash(report).empty(), "a crash is said in words");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  if (data[0] == '{') {
    check_frame(std::string(fuzz::text_of(data, size)));
    return 0;
  }
  const std::size_t piece = std::size_t{data[0]} + 1;
  std::string_view rest = fuzz::text_of(data + 1, size - 1);
  protocol::frame_decoder frames(most_frame_bytes);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, piece);
    rest.remove_prefix(part.size());
    frames.feed(part);
    while (const auto frame = frames.next()) {
      require(frame->size() <= most_frame_bytes, "a frame is within its limit");
      check_frame(*frame);
    }
  }
  return 0;
}
