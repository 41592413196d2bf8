#include "daemon/supervisor/host_questions.h"

#include <memory>
#include <utility>

#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds host_patience{30};

}  // namespace

std::vector<managed_sandbox*> chosen_sandboxes(daemon& of, const call_handle& made) {
  if (made->has("sandbox")) return {&of.sandbox(made->text("sandbox"))};
  std::vector<managed_sandbox*> all;
  for (const auto& [name, sandbox] : of.sandboxes()) all.push_back(sandbox.get());
  return all;
}

std::string default_sandbox(daemon& of) {
  return of.sandboxes().size() == 1 ? of.sandboxes().begin()->first : std::string("default");
}

void ask_hosts(const call_handle& made, const std::vector<managed_sandbox*>& hosts, const char* method,
               const json& params, std::function<void(const host_answers&)> done) {
  auto answers = std::make_shared<host_answers>();
  const auto all = when_all_done([made, answers, done = std::move(done)] {
    if (answers->good == 0) return made->fail(protocol::error_kind::unavailable, answers->problem);
    done(*answers);
  });
  for (managed_sandbox* host : hosts)
    host->request(method, params, host_patience, [answers, all, name = host->name()](const host_answer& answer) {
      if (answer.good()) {
        ++answers->good;
        answers->parts[name] = answer.result;
      } else {
        answers->problem = "sandbox " + name + ": " + answer.message;
      }
    });
  if (hosts.empty()) answers->problem = "there is no sandbox";
}

}  // namespace rtd::supervisor
