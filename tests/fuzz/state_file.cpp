// The state file: what rtd finds at its start, and the tasks that come of it.
//
// An input that begins with '{' gets the right header put before it: no invented input would have a right checksum.
#include <zlib.h>

#include <cstdio>
#include <string>

#include "daemon/config/config.h"
#include "daemon/supervisor/io/loop.h"
#include "daemon/supervisor/managed_task.h"
#include "daemon/supervisor/state_file.h"
#include "daemon/supervisor/task_record.h"
#include "tests/fuzz/fuzz.h"

namespace {

using nlohmann::json;
using namespace rtd;
using fuzz::require;

// Distinct counts of one kind that are read back (daemon/supervisor/task_record.cpp).
constexpr std::size_t most_words = 16;

std::string with_header(std::string_view body) {
  char header[64];
  const auto checksum = ::crc32_z(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<z_size_t>(body.size()));
  std::snprintf(header, sizeof header, "rtd-state 1 %08lx %zu\n", static_cast<unsigned long>(checksum), body.size());
  return header + std::string(body);
}

void check_task(supervisor::loop& loop, const std::string& name, const json& saved) {
  supervisor::wants_start(saved);
  std::string problem;
  const auto spec = supervisor::saved_spec(name, saved, problem);
  const config::task unknown;
  for (const bool clean : {true, false}) {
    supervisor::managed_task task(loop, name, spec.value_or(unknown), !spec);
    supervisor::restore_task(task, saved, clean);
    require(supervisor::is_final(task.state), "a task that was read back does not run");
    require(json::accept(task.to_json(nullptr).dump()), "a task is shown as JSON");
    // What was restored, and is saved again, comes back as it is; but for more counts than a task has.
    const json record = supervisor::save_task(task);
    supervisor::managed_task again(loop, name, spec.value_or(unknown), !spec);
    supervisor::restore_task(again, record, true);
    if (record["runs"].size() <= most_words)
      require(supervisor::save_task(again) == record, "a task outlives the daemon");
    std::string none;
    if (spec) require(supervisor::saved_spec(name, record, none) == spec, "what a task is outlives the daemon");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static supervisor::loop loop;
  const std::string_view bytes = fuzz::text_of(data, size);
  const auto state = supervisor::decode_state(bytes.starts_with('{') ? with_header(bytes) : std::string(bytes));
  require(state.content.has_value() == state.problem.empty(), "a state is read, or there is a reason");
  if (!state.content) return 0;
  const auto again = supervisor::decode_state(supervisor::encode_state(*state.content));
  require(again.content.has_value(), "a state that is saved can be read");
  const auto tasks = state.content->find("tasks");
  if (tasks == state.content->end() || !tasks->is_object()) return 0;
  for (const auto& [name, saved] : tasks->items()) check_task(loop, name, saved);
  return 0;
}
