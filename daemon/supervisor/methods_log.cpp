// logs, events.
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using protocol::error_kind;
using protocol::rpc_error;

// An answer is one line for the client to read at once.
constexpr std::size_t most_answer_bytes = 8U << 20U;

log_filter filter_of(daemon& of, const call_handle& made) {
  log_filter filter;
  filter.sandbox = made->text("sandbox");
  filter.task = made->text("task");
  if (!filter.sandbox.empty()) of.sandbox(filter.sandbox);
  if (made->has("level")) {
    const auto level = log_level_from(made->text("level"));
    if (!level)
      throw rpc_error(error_kind::invalid_params, "\"" + made->text("level") + "\" is no level",
                      {{"pointer", "/params/level"}, {"hint", "debug, info, warn or error"}});
    filter.least = *level;
  }
  if (made->has("since_seconds"))
    filter.since =
        std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                               std::chrono::duration<double>(made->number("since_seconds", 0)));
  return filter;
}

void answer_logs(daemon& of, const call_handle& made) {
  const log_filter filter = filter_of(of, made);
  const auto records = of.with().lines.last(filter, static_cast<std::size_t>(made->integer("limit", 100)));
  std::size_t first = records.size();
  for (std::size_t used = 0; first > 0; --first) {
    used += records[first - 1].message.size() + 300;
    if (used > most_answer_bytes) break;
  }
  json lines = json::array();
  for (std::size_t i = first; i < records.size(); ++i) lines.push_back(records[i].to_json());
  made->reply({{"lines", std::move(lines)}});
  const auto connection = made->connection();
  if (!made->flag("follow", false) || !connection) return;
  log_filter later = filter;
  later.since = {};
  connection->keep(of.with().lines.follow(later, [to = std::weak_ptr(connection)](const log_record& record) {
    if (const auto there = to.lock()) there->notify("rtd.log", record.to_json());
  }));
}

void answer_events(daemon& of, const call_handle& made) {
  json list = json::array();
  for (const auto& one : of.with().events.last(static_cast<std::size_t>(made->integer("limit", 100)),
                                               static_cast<std::uint64_t>(made->integer("since_seq", 0))))
    list.push_back(one.to_json());
  made->reply({{"events", std::move(list)}});
  const auto connection = made->connection();
  if (!made->flag("follow", false) || !connection) return;
  connection->keep(of.with().events.follow([to = std::weak_ptr(connection)](const event& one) {
    if (const auto there = to.lock()) there->notify("rtd.event", one.to_json());
  }));
}

}  // namespace

void register_log_methods(control_server& server, daemon& of) {
  server.handle("logs", [&of](const call_handle& made) { answer_logs(of, made); });
  server.handle("events", [&of](const call_handle& made) { answer_events(of, made); });
}

}  // namespace rtd::supervisor
