// rt::net::dial: the addresses of a host are tried in turn, each with a share of the time that is left.
#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>

#include "rt/context.h"
#include "rt/net.h"
#include "runtime/net/connection_slot.h"
#include "runtime/net/endpoint.h"
#include "runtime/net/socket_state.h"
#include "runtime/net/stream_options.h"
#include "runtime/net/system_calls.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/park.h"

namespace rt::net {

namespace detail {

namespace {

// The least that one of several addresses is given, unless less is left altogether: Go's number.
constexpr std::int64_t least_share = 2'000'000'000;
// See connects_to_itself. Go tries three times in all.
constexpr int self_connect_tries = 3;

// The time until which one address may take, when `addresses` are still to be tried.
std::int64_t share_of(std::int64_t deadline, std::size_t addresses) noexcept {
  if (deadline == no_deadline || addresses <= 1) return deadline;
  std::int64_t now = rt::detail::runtime_now();
  std::int64_t left = deadline - now;
  std::int64_t share = std::max(left / static_cast<std::int64_t>(addresses), least_share);
  return now + std::min(left, share);
}

// A caller of a port of this machine on which nobody listens may be given just that port as its own, and TCP then
// connects the socket to itself ("simultaneous open").
bool connects_to_itself(socket_state& socket) noexcept { return socket.local_address() == socket.address(); }

// A connection of the caller's task, or why it has none.
failure take_slot(connection_slot& slot) {
  rt::detail::group& task = *rt::detail::current_group();
  if (slot.take(task)) return {};
  rt::detail::connection_account& account = *task.connections;
  account.count_refused();
  if (account.is_newly_met()) task.limits.add(task, rt::detail::limit_kind::connections);
  return {errc::too_many_connections, std::to_string(account.open()) + " of " + std::to_string(account.most()) +
                                          " are open; close some, use them again, or raise the limit"};
}

failure dial_address(const socket_address& address, std::int64_t deadline, std::shared_ptr<socket_state>& state) {
  for (int tries = 1;; ++tries) {
    if (deadline <= rt::detail::runtime_now()) return {errc::timed_out};
    connection_slot slot;
    if (failure why = take_slot(slot)) return why;
    int fd = system_call::make_stream_socket(address.family());
    if (fd < 0) return {std::error_code(-fd, std::system_category())};
    owned_fd owner(fd);
    if (address.family() != AF_UNIX) set_stream_options(fd);
    auto fresh = std::make_shared<socket_state>(std::move(owner), address, std::move(slot));
    std::error_code error;
    fresh->connect(deadline, error);
    if (error) return {error};
    if (address.family() == AF_UNIX || !connects_to_itself(*fresh)) {
      state = std::move(fresh);
      return {};
    }
    if (tries == self_connect_tries) return {std::make_error_code(std::errc::connection_refused)};
  }
}

failure dial_endpoint(std::string_view network_name, std::string_view address, std::int64_t deadline,
                      std::shared_ptr<socket_state>& state) {
  rt::detail::require_green_thread("rt::net::dial");
  endpoints found;
  if (failure why = find_endpoints(network_name, address, purpose::dial, deadline, found)) return why;
  failure first;
  for (std::size_t i = 0; i < found.addresses.size(); ++i) {
    std::int64_t until = share_of(deadline, found.addresses.size() - i);
    failure why = dial_address(found.addresses[i], until, state);
    if (!why) return {};
    if (why.code == errc::too_many_connections) return why;
    if (found.looked_up || !found.host_given) why.detail = "at " + found.addresses[i].text();
    if (!first) first = std::move(why);
    if (deadline <= rt::detail::runtime_now()) break;
  }
  return first;
}

std::int64_t deadline_of(time_point when) noexcept {
  std::int64_t nanoseconds = when.time_since_epoch().count();
  return nanoseconds == 0 ? no_deadline : nanoseconds;
}

}  // namespace

}  // namespace detail

conn dial_until(std::string_view network, std::string_view address, time_point deadline, std::error_code& error) {
  std::shared_ptr<detail::socket_state> state;
  error = detail::dial_endpoint(network, address, detail::deadline_of(deadline), state).code;
  return conn(std::move(state));
}

conn dial_until(std::string_view network, std::string_view address, time_point deadline) {
  std::shared_ptr<detail::socket_state> state;
  detail::failure why = detail::dial_endpoint(network, address, detail::deadline_of(deadline), state);
  if (why) throw std::system_error(why.code, detail::describe("dial", network, address, why));
  return conn(std::move(state));
}

conn dial(std::string_view network, std::string_view address) { return dial_until(network, address, time_point()); }

conn dial(const context& within, std::string_view network, std::string_view address) {
  within.throw_if_ended();
  context_scope obey(within);
  // dial_until shares the time out between the addresses. It may see the deadline pass before the context's timer does.
  std::optional<time_point> deadline = within.deadline();
  try {
    return dial_until(network, address, deadline.value_or(time_point()));
  } catch (const std::system_error& error) {
    if (error.code() != errc::timed_out || !deadline || now() < *deadline) throw;
    throw context_error(std::make_error_code(std::errc::timed_out), nullptr);
  }
}

conn dial(std::string_view network, std::string_view address, std::error_code& error) {
  return dial_until(network, address, time_point(), error);
}

}  // namespace rt::net
