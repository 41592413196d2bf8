#include "daemon/supervisor/control_connection.h"

#include <new>
#include <utility>

#include "daemon/protocol/json.h"
#include "daemon/protocol/rpc.h"
#include "daemon/protocol/version.h"
#include "daemon/supervisor/memory_reserve.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::chrono::seconds watch_interval{1};

}  // namespace

control_connection::control_connection(loop& on, sandbox::descriptor socket, peer from, protocol::role role,
                                       callbacks on_event)
    : loop_(on),
      socket_(std::move(socket)),
      from_(std::move(from)),
      role_(role),
      callbacks_(std::move(on_event)),
      watch_timer_(on) {}

control_connection::~control_connection() = default;

void control_connection::begin() {
  // The owner keeps the object alive until `ended`, and destroys it only from the loop.
  stream_ = std::make_unique<byte_stream>(loop_, std::move(socket_),
                                          byte_stream::callbacks{[this](std::string_view bytes) { data(bytes); },
                                                                 [this] { close("closed"); }, [this] { drained(); }});
  send(protocol::notification_line("rtd.hello", {{"version", protocol::version()},
                                                 {"protocol", protocol::control_protocol},
                                                 {"role", protocol::to_string(role_)},
                                                 {"capabilities", {"events", "logs"}}}));
  watch_timer_.start(watch_interval, [this] { watch(); });
}

void control_connection::refuse(const rpc_error& error) {
  if (!stream_) begin();
  send(protocol::error_line(nullptr, error));
  ending_ = true;
  stream_->close_when_drained();
  if (!stream_->is_open()) close("refused");
}

void control_connection::close(std::string_view reason) {
  if (!callbacks_.ended) return;
  const auto keep_alive = shared_from_this();
  ending_ = true;
  watch_timer_.cancel();
  tokens_.clear();
  if (stream_) stream_->close();
  const auto ended = std::exchange(callbacks_.ended, nullptr);
  ended(this, reason);
}

void control_connection::data(std::string_view bytes) {
  if (ending_) return;
  const auto keep_alive = shared_from_this();
  last_activity_ = clock::now();
  if (lines_.pending() == 0) line_began_ = last_activity_;
  try {
    lines_.feed(bytes);
    read_lines();
  } catch (const std::bad_alloc&) {
    close("no_memory");
  }
}

void control_connection::read_lines() {
  while (!ending_ && stream_->is_open()) {
    // A client that sends requests and reads no answers waits with its next requests.
    if (stream_->queued() > queue_soft_limit) {
      stream_->pause_reading();
      return;
    }
    const auto line = lines_.next();
    if (!line) break;
    line_began_ = clock::now();
    if (!line->empty()) handle_line(*line);
  }
  if (ending_ || lines_.error().empty()) return;
  const rpc_error error(error_kind::parse_error, lines_.error(), {{"hint", "a request is one line of JSON"}});
  callbacks_.refused(from_, "", error);
  refuse(error);
}

void control_connection::handle_line(const std::string& line) {
  json id = nullptr;
  std::string method_name;
  try {
    auto parsed = protocol::parse_json(line, protocol::control_limits);
    if (!parsed) throw rpc_error(error_kind::parse_error, "not a line of JSON: " + parsed.error);
    id = protocol::id_of(*parsed.value);
    protocol::request request = protocol::parse_request(*parsed.value);
    const protocol::method_info* method = protocol::find_method(request.method);
    if (method == nullptr) throw protocol::unknown_method(request.method);
    method_name = method->name;
    if (role_ < method->needs)
      throw rpc_error(error_kind::permission_denied,
                      std::string(method->name) + " needs the role \"" + std::string(to_string(method->needs)) +
                          "\"; you (" + describe(from_) + ") have \"" + std::string(to_string(role_)) + "\"",
                      {{"hint", "an administrator gives roles by \"control.roles\" in the configuration"}});
    protocol::check_params(*method, request.params);
    if (method->changes && memory_reserve::is_spent())
      throw rpc_error(error_kind::unavailable, "the system gives the daemon no memory: nothing is begun",
                      {{"hint", "raise the daemon's limit, or make room on the machine, and try again"}});
    if (in_flight_ >= max_in_flight)
      throw rpc_error(error_kind::busy,
                      std::to_string(max_in_flight) + " requests of this connection wait for their answers already");
    ++in_flight_;
    const auto began = clock::now();
    auto made =
        std::make_shared<call>(*method, std::move(request.params), from_, role_, weak_from_this(),
                               [weak = weak_from_this(), answered = callbacks_.answered, id = request.id, began](
                                   call& of, const call::outcome& outcome) {
                                 // What a vanished client asked for was done all the same, and is counted and audited.
                                 answered(of, outcome, std::chrono::duration<double>(clock::now() - began).count());
                                 const auto self = weak.lock();
                                 if (!self || self->ending_) return;
                                 --self->in_flight_;
                                 self->last_activity_ = clock::now();
                                 // Caught here, not by whoever had the result: it may be a host's, or everybody's.
                                 try {
                                   self->send(outcome.result != nullptr ? protocol::result_line(id, *outcome.result)
                                                                        : protocol::error_line(id, *outcome.error));
                                 } catch (const std::bad_alloc&) {
                                   self->close("no_memory");
                                 }
                               });
    callbacks_.request(std::move(made));
  } catch (const rpc_error& error) {
    callbacks_.refused(from_, method_name, error);
    send(protocol::error_line(id, error));
  }
}

void control_connection::send(std::string line) {
  if (!stream_ || !stream_->is_open()) return;
  stream_->write(std::move(line));
  if (stream_->queued() > queue_limit)
    loop_.post([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->close("dropped_slow");
    });
}

void control_connection::drained() {
  const auto keep_alive = shared_from_this();
  if (const auto dropped = std::exchange(dropped_, 0); dropped > 0)
    send(protocol::notification_line("rtd.dropped", {{"dropped", dropped}}));
  if (ending_) return;
  try {
    read_lines();
  } catch (const std::bad_alloc&) {
    return close("no_memory");
  }
  if (!ending_ && stream_->queued() <= queue_soft_limit) stream_->resume_reading();
}

void control_connection::notify(std::string_view method, const json& params) {
  if (ending_ || !stream_ || !stream_->is_open()) return;
  if (dropped_ > 0 || stream_->queued() > follow_limit) {
    ++dropped_;
    return;
  }
  send(protocol::notification_line(method, params));
}

void control_connection::keep(std::shared_ptr<void> token) {
  if (!ending_) tokens_.push_back(std::move(token));
}

void control_connection::watch() {
  const auto now = clock::now();
  if (stream_->queued() > 0 && now - stream_->progress() > stall_timeout) return close("dropped_slow");
  if (lines_.pending() > 0 && stream_->queued() <= queue_soft_limit && now - line_began_ > line_timeout)
    return close("half_line");
  const auto idle =
      role_ == protocol::role::none ? std::chrono::seconds(roleless_timeout) : std::chrono::seconds(idle_timeout);
  if (tokens_.empty() && in_flight_ == 0 && now - last_activity_ > idle) return close("idle");
  watch_timer_.start(watch_interval, [this] { watch(); });
}

}  // namespace rtd::supervisor
