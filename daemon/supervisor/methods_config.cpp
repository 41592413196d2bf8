// config.check, config.show, config.reload.
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using protocol::error_kind;
using protocol::rpc_error;

std::string folder_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : file.substr(0, slash);
}

void check_config(daemon& of, const call_handle& made) {
  const std::string own_file = of.options().config_file;
  config::load_result loaded;
  if (made->has("text")) {
    const std::string file = made->text("file", own_file);
    if (file.empty() || file.front() != '/')
      throw rpc_error(error_kind::invalid_params, "\"file\" must be absolute", {{"pointer", "/params/file"}});
    loaded = config::load_text(made->text("text"), folder_of(file));
  } else {
    const std::string file = made->text("file", own_file);
    if (file.empty() || file.front() != '/')
      throw rpc_error(error_kind::invalid_params, "\"file\" must be absolute", {{"pointer", "/params/file"}});
    // The daemon may read files that its clients may not, and its complaints quote them.
    if (file != own_file && made->role() < protocol::role::admin)
      throw rpc_error(error_kind::permission_denied, "only an admin may have the daemon read " + file,
                      {{"hint", "send its text instead"}});
    loaded = config::load_file(file);
  }
  json problems = json::array();
  for (const auto& problem : loaded.problems)
    problems.push_back({{"pointer", problem.pointer},
                        {"line", problem.line},
                        {"column", problem.column},
                        {"message", problem.message},
                        {"hint", problem.hint}});
  made->reply({{"ok", loaded.value.has_value()}, {"problems", std::move(problems)}});
}

}  // namespace

void register_config_methods(control_server& server, daemon& of) {
  server.handle("config.check", [&of](const call_handle& made) { check_config(of, made); });
  server.handle("config.show", [&of](const call_handle& made) {
    made->reply({{"config", config::to_json(of.configuration())},
                 {"file", of.options().config_file},
                 {"generation", of.generation()}});
  });
  server.handle("config.reload", [&of](const call_handle& made) {
    std::optional<std::uint64_t> expected;
    if (made->has("expect_generation")) expected = static_cast<std::uint64_t>(made->integer("expect_generation", 0));
    of.reload(made->flag("wait", true), expected, [made](const json* result, const rpc_error* error) {
      if (result != nullptr)
        made->reply(*result);
      else
        made->fail(*error);
    });
  });
}

}  // namespace rtd::supervisor
