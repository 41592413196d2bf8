#include "daemon/supervisor/host_trial.h"

#include <unistd.h>

#include <utility>

#include "daemon/protocol/error.h"
#include "daemon/protocol/fields.h"
#include "daemon/supervisor/host_start.h"

namespace rtd::supervisor {
namespace {

// Its plugins are known, and are all that it has to see.
config::sandbox as_trial(config::sandbox settings) {
  settings.isolation.seal = true;
  return settings;
}

}  // namespace

host_trial::host_trial(services with, std::string sandbox, const config::sandbox& settings, std::string host_binary,
                       std::map<std::string, std::string> plugins, std::function<void(const outcome&)> done)
    : with_(with),
      sandbox_(std::move(sandbox)),
      settings_(as_trial(settings)),
      host_binary_(std::move(host_binary)),
      plugins_(plugins),
      to_load_(std::move(plugins)),
      done_(std::move(done)) {
  with_.events_loop.post([this, alive = alive_] {
    if (*alive) launch();
  });
}

host_trial::~host_trial() { *alive_ = false; }

void host_trial::launch() {
  loading_.reset();
  loading_timed_out_ = false;
  try {
    host_ = std::make_unique<host_process>(
        with_.events_loop, make_launch_request(sandbox_, settings_, host_binary_, plugins_),
        host_process::callbacks{[this](const nlohmann::json& event) {
                                  if (event["event"] != "refused") return;
                                  finish("its host refuses to start: " +
                                         protocol::text_field(event, "message", protocol::max_text_bytes));
                                },
                                [this](bool, const std::string& line) {
                                  with_.lines.write(log_level::debug, "trial host: " + line, sandbox_);
                                },
                                [this](const host_end& end) { ended(end); }});
  } catch (const sandbox::launch_error& error) {
    return finish(std::string("its host could not be started: ") + error.what());
  }
  host_->request("host.configure", make_configure_params(sandbox_, settings_, with_.lines.level()), configure_timeout,
                 [this](const host_answer& answer) {
                   if (answer.error_kind == "unavailable") return;  // ended() knows more
                   std::string problem = configure_problem(answer, host_binary_);
                   host_layers layers;
                   if (problem.empty()) problem = take_layers(answer.result, settings_, layers);
                   if (!problem.empty()) return finish(problem);
                   load_next();
                 });
}

void host_trial::load_next() {
  if (to_load_.empty()) return finish({});
  const auto [plugin, path] = *to_load_.begin();
  to_load_.erase(to_load_.begin());
  file_identity identity;
  try {
    identity = check_plugin_file(path, ::geteuid());
  } catch (const protocol::rpc_error& error) {
    outcome_.plugins[plugin] = refused_plugin(
        plugin, path, error.kind() == protocol::error_kind::not_found ? "plugin_not_found" : "plugin_file_refused",
        std::string(error.what()) + " (" + error.data().value("hint", "") + ")");
    return load_next();
  }
  loading_ = plugin;
  host_->request("plugin.load", {{"name", plugin}, {"path", path}}, plugin_load_timeout,
                 [this, plugin = plugin, path = path, identity](const host_answer& answer) {
                   if (answer.error_kind == "unavailable") {
                     outcome_.plugins[plugin] = refused_plugin(plugin, path, "plugin_crashed", "");
                     return;  // ended() says why
                   }
                   plugin_info info = read_plugin_answer(plugin, path, answer);
                   info.identity = identity;
                   if (answer.error_kind == "timeout") {
                     info.error_kind = "plugin_constructor_timeout";
                     info.error = "it was not loaded in time: does a constructor of it wait for something?";
                     outcome_.plugins[plugin] = std::move(info);
                     loading_timed_out_ = true;
                     return host_->kill("watchdog", "a plugin's load took too long");
                   }
                   loading_.reset();
                   outcome_.plugins[plugin] = std::move(info);
                   load_next();
                 });
}

void host_trial::ended(const host_end& end) {
  // The call comes from the host object as its last deed.
  const auto former = std::move(host_);
  if (!done_) return;
  if (!loading_) return finish("its host " + end.describe());
  if (!loading_timed_out_) outcome_.plugins[*loading_].error = "its load ended the host, which " + end.describe();
  if (to_load_.empty()) return finish({});
  launch();
}

void host_trial::finish(std::string error) {
  outcome_.error = std::move(error);
  const auto done = std::exchange(done_, nullptr);
  if (!done) return;
  // From the loop: the host object may be in the middle of the call that led here, and its end is waited for.
  with_.events_loop.post([this, alive = alive_, done] {
    if (!*alive) return;
    host_.reset();
    const outcome result = std::move(outcome_);
    done(result);
  });
}

}  // namespace rtd::supervisor
