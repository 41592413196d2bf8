// sandbox.list, sandbox.learn, sandbox.restart, stacks.
#include "daemon/protocol/fields.h"
#include "daemon/sandbox/landlock.h"
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/grant_proposal.h"
#include "daemon/supervisor/host_questions.h"
#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::size_t most_stack_text = 8U << 20U;
constexpr std::chrono::seconds host_patience{30};

// A host's text of many lines, each one cleaned: it will be printed on a terminal.
std::string clean_lines(std::string_view text, std::size_t room) {
  std::string result;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    result += protocol::clean_text(text.substr(0, end), 4096) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
    if (result.size() > room) return result + "[cut: the text is longer]\n";
  }
  return result;
}

void restart_sandbox(daemon& of, const call_handle& made) {
  if (of.stopping()) throw rpc_error(error_kind::invalid_state, "the daemon is stopping");
  managed_sandbox& sandbox = of.sandbox(made->text("name"));
  sandbox.restart("manual", "restarted by " + describe(made->from()));
  // Looks until the new host is up, or does not come up.
  struct watch : std::enable_shared_from_this<watch> {
    watch(daemon& whole, call_handle asked, std::string which)
        : of(whole), made(std::move(asked)), name(std::move(which)), again(whole.with().events_loop) {}
    daemon& of;
    call_handle made;
    std::string name;
    timer again;
    clock::time_point began = clock::now();
    void look() {
      const auto found = of.sandboxes().find(name);
      if (found == of.sandboxes().end()) return made->fail(error_kind::not_found, "the sandbox is gone");
      const managed_sandbox& now = *found->second;
      const bool under_way = now.state() == sandbox_state::starting || now.state() == sandbox_state::stopping;
      if (under_way && clock::now() - began < host_patience)
        return again.start(10ms, [self = shared_from_this()] { self->look(); });
      if (now.is_up()) return made->reply({{"sandbox", now.to_json()}});
      made->fail(error_kind::sandbox_failed, now.trouble(), "logs and events say more");
    }
  };
  std::make_shared<watch>(of, made, sandbox.name())->look();
}

void learn_sandbox(daemon& of, const call_handle& made) {
  if (of.stopping()) throw rpc_error(error_kind::invalid_state, "the daemon is stopping");
  managed_sandbox& sandbox = of.sandbox(made->text("name"));
  const auto length = std::chrono::duration<double>(made->number("seconds", 10));
  sandbox.learn(std::chrono::duration_cast<std::chrono::nanoseconds>(length),
                [&of, made, name = sandbox.name()](const json* learned, const std::string& problem) {
                  if (learned == nullptr) return made->fail(error_kind::sandbox_failed, problem);
                  made->reply({{"sandbox", name},
                               {"grants", propose_grants(*learned, daemon::plugins_of(of.configuration(), name),
                                                         daemon::host_binary(of.configuration()),
                                                         sandbox::landlock_level() >= sandbox::landlock_ports_level)}});
                });
}

}  // namespace

void register_sandbox_methods(control_server& server, daemon& of) {
  server.handle("sandbox.list", [&of](const call_handle& made) {
    const auto all = when_all_done([&of, made] {
      json list = json::array();
      for (const auto& [name, sandbox] : of.sandboxes()) list.push_back(sandbox->to_json());
      made->reply({{"sandboxes", std::move(list)}});
    });
    for (const auto& [name, sandbox] : of.sandboxes())
      sandbox->refresh(managed_sandbox::figures_patience, [all](bool) {});
  });
  server.handle("sandbox.learn", [&of](const call_handle& made) { learn_sandbox(of, made); });
  server.handle("sandbox.restart", [&of](const call_handle& made) { restart_sandbox(of, made); });
  server.handle("stacks", [&of](const call_handle& made) {
    auto hosts = chosen_sandboxes(of, made);
    const std::string task = made->text("task");
    if (!task.empty()) hosts = {&of.sandbox(of.tasks().get(task).spec.sandbox)};
    ask_hosts(made, hosts, "stacks", {{"limit", made->integer("limit", 1000)}, {"task", task}},
              [made](const host_answers& answers) {
                std::string text;
                for (const auto& [name, part] : answers.parts) {
                  if (answers.parts.size() > 1) text += "# sandbox " + name + "\n";
                  const auto& raw = protocol::member(part, "text");
                  if (raw.is_string())
                    text += clean_lines(raw.get_ref<const std::string&>(),
                                        most_stack_text - std::min(most_stack_text, text.size()));
                }
                made->reply({{"text", std::move(text)}});
              });
  });
}

}  // namespace rtd::supervisor
