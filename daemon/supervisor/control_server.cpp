#include "daemon/supervisor/control_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "daemon/protocol/methods.h"
#include "daemon/protocol/text.h"

namespace rtd::supervisor {
namespace {

using protocol::error_kind;
using protocol::rpc_error;

constexpr int accepts_at_once = 32;
constexpr std::chrono::milliseconds accept_pause{200};

}  // namespace

control_server::control_server(services with, config::control_section settings)
    : with_(with), settings_(std::move(settings)), retry_(with.events_loop) {}

control_server::~control_server() { *alive_ = false; }

void control_server::handle(std::string_view method, method_handler handler) {
  if (protocol::find_method(method) == nullptr)
    throw std::logic_error("no method \"" + std::string(method) + "\" in the table");
  handlers_[std::string(method)] = std::move(handler);
}

void control_server::listen(sandbox::descriptor passed) {
  for (const auto& method : protocol::methods())
    if (!handlers_.contains(method.name))
      throw std::logic_error("nobody answers the method \"" + std::string(method.name) + "\"");
  socket_ = passed ? std::make_unique<control_socket>(settings_.socket, std::move(passed))
                   : std::make_unique<control_socket>(settings_.socket, settings_.mode);
  begin_accepting();
}

void control_server::begin_accepting() {
  listening_ = std::make_unique<readiness>(with_.events_loop, socket_->take_listener(), [this] { accept_some(); });
  listening_->rearm();
}

void control_server::configure(const config::control_section& settings) {
  if (socket_->was_passed() && (settings.socket != settings_.socket || settings.mode != settings_.mode))
    throw control_socket_error("control socket " + settings_.socket +
                               ": it is the service manager's (change ListenStream= or SocketMode= of its unit, "
                               "and restart both)");
  if (settings.socket != settings_.socket) {
    auto moved = std::make_unique<control_socket>(settings.socket, settings.mode);
    listening_.reset();
    socket_ = std::move(moved);
    begin_accepting();
  } else if (settings.mode != settings_.mode && ::chmod(settings.socket.c_str(), settings.mode) != 0) {
    throw control_socket_error("control socket " + settings.socket + ": chmod: " + std::strerror(errno));
  }
  settings_ = settings;
  // Nobody keeps a role that the new rules do not give.
  std::vector<std::shared_ptr<control_connection>> changed;
  for (const auto& [key, connection] : connections_)
    if (role_of(connection->from(), settings_.roles, ::geteuid()) != connection->role()) changed.push_back(connection);
  for (const auto& connection : changed) with_.events_loop.post([connection] { connection->close("role_changed"); });
}

void control_server::stop_accepting() {
  retry_.cancel();
  listening_.reset();
}

void control_server::close() {
  stop_accepting();
  socket_.reset();
  while (!connections_.empty()) {
    const auto connection = connections_.begin()->second;
    connection->close("shutdown");
  }
}

void control_server::accept_some() {
  for (int i = 0; i < accepts_at_once; ++i) {
    sandbox::descriptor socket(::accept4(listening_->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) break;
      // Out of descriptors or memory: the waiting clients stay readable, so without a pause this would spin.
      if (refusal_lines_.take(1, clock::now()))
        with_.lines.error(std::string("the control socket cannot accept a connection: ") + std::strerror(errno));
      retry_.start(accept_pause, [this] {
        if (listening_) listening_->rearm();
      });
      return;
    }
    accept_one(std::move(socket));
  }
  listening_->rearm();
}

void control_server::accept_one(sandbox::descriptor socket) {
  const peer from = peer_of(socket.get());
  const protocol::role role = role_of(from, settings_.roles, ::geteuid());
  const auto open = static_cast<std::int64_t>(connections_.size()) - roleless_;
  bool full = false;
  if (role == protocol::role::none)
    full = roleless_ >= for_roleless;
  else
    full = open >= settings_.max_connections + (role == protocol::role::admin ? reserved_for_admins : 0);

  control_connection::callbacks on_event;
  on_event.request = [this](const call_handle& made) { dispatch(made); };
  on_event.answered = [this, alive = alive_](const call& of, const call::outcome& outcome, double seconds) {
    if (!*alive) return;
    const std::string code = outcome.result != nullptr ? "ok" : std::string(to_string(outcome.error->kind()));
    figures_.requests.record(std::string(of.method().name), code, seconds);
    audit(of, outcome);
  };
  on_event.refused = [this](const peer& who, std::string_view method, const rpc_error& error) {
    figures_.requests.record(method.empty() ? "other" : std::string(method), std::string(to_string(error.kind())), 0);
    if (error.kind() == error_kind::permission_denied && refusal_lines_.take(1, clock::now()))
      with_.lines.warn("audit: " + describe(who) + ": " + std::string(method) + ": permission_denied");
  };
  on_event.ended = [this](control_connection* which, std::string_view reason) { count_end(which, reason); };

  const auto connection =
      std::make_shared<control_connection>(with_.events_loop, std::move(socket), from, role, std::move(on_event));
  connections_[connection.get()] = connection;
  if (role == protocol::role::none) ++roleless_;
  ++figures_.connections_total[full ? "limit" : role == protocol::role::none ? "denied" : "accepted"];
  connection->begin();
  if (full)
    connection->refuse(rpc_error(error_kind::busy, "the daemon has as many connections as it takes",
                                 {{"hint", "close some, or raise \"control.max_connections\""}}));
}

void control_server::count_end(control_connection* which, std::string_view reason) {
  const auto found = connections_.find(which);
  if (found == connections_.end()) return;
  if (found->second->role() == protocol::role::none) --roleless_;
  if (reason == "dropped_slow" || reason == "idle" || reason == "half_line" || reason == "no_memory") {
    ++figures_.connections_total[std::string(reason)];
    if (reason != "idle")
      with_.lines.warn("a control client (" + describe(which->from()) + ") was dropped: " + std::string(reason));
  }
  // The connection is in the middle of a call of its own; it goes when the loop comes round.
  with_.events_loop.post([gone = std::move(found->second)] {});
  connections_.erase(found);
}

void control_server::dispatch(const call_handle& made) {
  const auto& handler = handlers_.at(std::string(made->method().name));
  try {
    handler(made);
  } catch (const rpc_error& error) {
    made->fail(error);
  } catch (const std::exception& error) {
    with_.lines.error("method " + std::string(made->method().name) + ": " + error.what());
    made->fail(error_kind::internal, error.what());
  }
}

void control_server::audit(const call& of, const call::outcome& outcome) {
  if (!of.method().changes) return;
  std::string target;
  for (const char* key : {"name", "sandbox", "plugin", "path", "level"})
    if (of.params().contains(key) && of.params()[key].is_string())
      target += " " + std::string(key) + "=" + of.params()[key].get<std::string>();
  // A task that got its name from us is named by the answer.
  if (outcome.result != nullptr && !of.params().contains("name") && outcome.result->contains("task"))
    target += " name=" + outcome.result->at("task").value("name", "");
  const std::string result =
      outcome.result != nullptr ? "ok" : std::string(to_string(outcome.error->kind())) + ": " + outcome.error->what();
  with_.lines.info("audit: " + describe(of.from()) + ", role " + std::string(to_string(of.role())) + ": " +
                   std::string(of.method().name) + target + ": " + result);
}

const metrics::control_figures& control_server::figures() {
  figures_.connections = connections_.size();
  return figures_;
}

}  // namespace rtd::supervisor
