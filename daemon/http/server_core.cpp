#include "daemon/http/server_core.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/http/connection.h"
#include "daemon/http/listening.h"

namespace rtd::http::detail {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr int accept_batch = 64;  // then the loop looks at its other work
constexpr std::chrono::milliseconds accept_pause{200};
constexpr std::chrono::seconds patience_at_limit{1};  // with clients that are slow to send their request
constexpr std::chrono::seconds accept_report_interval{60};

// Tells a client that came when every connection is busy. One try without blocking: it may be an attacker's.
void turn_away(int descriptor) noexcept {
  constexpr std::string_view text =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
      "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
  // What was sent already is read first: closing a socket with unread data resets it and loses the answer.
  char unread[4096];
  [[maybe_unused]] const ssize_t received = ::recv(descriptor, unread, sizeof(unread), MSG_DONTWAIT);
  [[maybe_unused]] const ssize_t sent = ::send(descriptor, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(descriptor, SHUT_WR);
  ::close(descriptor);
}

bool is_readable(int descriptor) noexcept {
  pollfd asked{descriptor, POLLIN, 0};
  return ::poll(&asked, 1, 0) == 1;
}

}  // namespace

bool route_entry::allows(std::string_view method) const {
  if (method == "HEAD") method = "GET";
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

std::string route_entry::allowed() const {
  std::string list;
  const auto add = [&](std::string_view method) { list.append(list.empty() ? "" : ", ").append(method); };
  for (const std::string& method : methods) {
    add(method);
    if (method == "GET") add("HEAD");
  }
  return list;
}

server_core::server_core(asio::io_context& loop, limits bounds) : loop_(loop), bounds_(bounds), grace_(loop) {}

void server_core::add_route(route_entry route) {
  std::string path = route.path;
  routes_.insert_or_assign(std::move(path), std::make_shared<const route_entry>(std::move(route)));
}

std::shared_ptr<const route_entry> server_core::find_route(std::string_view path) const {
  if (const auto exact = routes_.find(path); exact != routes_.end()) return exact->second;
  // The longest registered folder that the path lies in.
  for (std::size_t slash = path.rfind('/'); slash != std::string_view::npos && slash > 0;
       slash = path.rfind('/', slash - 1)) {
    if (const auto folder = routes_.find(path.substr(0, slash + 1)); folder != routes_.end()) return folder->second;
  }
  return nullptr;
}

void server_core::add_listener(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  const bool known = ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const tcp protocol = known && address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4();
  auto added = std::make_shared<listener>(listener{tcp::acceptor(loop_), asio::steady_timer(loop_)});
  error_code error;
  added->acceptor.assign(protocol, descriptor, error);
  if (error) {
    ::close(descriptor);
    throw listen_error("cannot listen on " + address_text(address) + ": " + error.message());
  }
  listeners_.push_back(added);
  wait_for_clients(added);
}

std::vector<std::string> server_core::addresses() const {
  std::vector<std::string> list;
  for (const auto& on : listeners_) list.push_back(local_address(on->acceptor.native_handle()));
  return list;
}

void server_core::close_listeners() {
  for (const auto& on : listeners_) {
    error_code ignored;
    on->acceptor.close(ignored);
    on->pause.cancel();
  }
  listeners_.clear();
}

void server_core::wait_for_clients(const std::shared_ptr<listener>& on) {
  on->acceptor.async_wait(tcp::acceptor::wait_read, [self = shared_from_this(), on](error_code error) {
    if (error || !on->acceptor.is_open()) return;
    try {
      self->accept_waiting(on);
    } catch (const std::exception& failure) {
      self->report(std::string("a client could not be accepted: ") + failure.what());
      if (on->acceptor.is_open()) self->wait_for_clients(on);
    }
  });
}

void server_core::accept_waiting(const std::shared_ptr<listener>& on) {
  for (int i = 0; i < accept_batch; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    const int descriptor = ::accept4(on->acceptor.native_handle(), reinterpret_cast<sockaddr*>(&peer), &size,
                                     SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0) {
      take(descriptor, peer);
      continue;
    }
    const int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) break;
    const bool out_of_resources = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    if (!out_of_resources) continue;  // that one client's failure (ECONNABORTED, network errors)
    // The kernel looks for a free descriptor before it looks for a client, so there may be none at all.
    if (!is_readable(on->acceptor.native_handle())) break;

    // The client stays in the queue and would wake the loop at once again, so wait; closing an idle connection helps.
    const auto now = std::chrono::steady_clock::now();
    if (last_accept_report_ == decltype(now){} || now - last_accept_report_ > accept_report_interval) {
      last_accept_report_ = now;
      report(std::string("HTTP clients must wait: ") + std::strerror(error) +
             (error == EMFILE || error == ENFILE ? "; raise LimitNOFILE" : ""));
    }
    evict_one();
    on->pause.expires_after(accept_pause);
    on->pause.async_wait([self = shared_from_this(), on](error_code cancelled) {
      if (!cancelled && on->acceptor.is_open()) self->wait_for_clients(on);
    });
    return;
  }
  wait_for_clients(on);
}

void server_core::take(int descriptor, const sockaddr_storage& peer) {
  ++counts_.accepted_total;
  if (connections_.size() >= bounds_.max_connections && !evict_one()) {
    ++counts_.rejected_total;
    turn_away(descriptor);
    return;
  }
  tcp::socket socket(loop_);
  error_code error;
  socket.assign(peer.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), descriptor, error);
  if (error) {
    ::close(descriptor);
    return;
  }
  socket.set_option(tcp::no_delay(true), error);
  auto made = std::make_shared<connection>(shared_from_this(), std::move(socket), address_text(peer));
  made->place = connections_.insert(connections_.end(), made);
  ++counts_.open;
  made->start();
}

bool server_core::evict_one() noexcept {
  const auto slow_since = std::chrono::steady_clock::now() - patience_at_limit;
  std::shared_ptr<connection> idle;
  std::shared_ptr<connection> slow;
  for (const auto& one : connections_) {
    if (one->idle() && (!idle || one->since() < idle->since())) idle = one;
    if (one->dawdles() && one->since() < slow_since && (!slow || one->since() < slow->since())) slow = one;
  }
  const auto& evicted = idle ? idle : slow;
  if (!evicted) return false;
  ++counts_.evicted_total;
  evicted->close();
  return true;
}

void server_core::forget(const connection& gone) noexcept {
  connections_.erase(gone.place);
  --counts_.open;
  if (stopping_ && connections_.empty()) finish_stop();
}

void server_core::stop(std::chrono::milliseconds grace, std::function<void()> done) {
  stopping_ = true;
  stopped_ = std::move(done);
  close_listeners();
  const auto all = connections_;
  for (const auto& one : all) {
    if (one->idle()) one->close();
  }
  if (connections_.empty()) {
    finish_stop();
    return;
  }
  grace_.expires_after(grace);
  grace_.async_wait([self = shared_from_this()](error_code cancelled) {
    if (cancelled) return;
    const auto rest = self->connections_;
    for (const auto& one : rest) one->close();
  });
}

void server_core::finish_stop() {
  grace_.cancel();
  if (stopped_) asio::post(loop_, std::exchange(stopped_, nullptr));
}

void server_core::close_all() {
  stopping_ = true;
  stopped_ = nullptr;
  observer = nullptr;
  problem = nullptr;
  close_listeners();
  const auto all = connections_;
  for (const auto& one : all) one->close();
  grace_.cancel();
  routes_.clear();
}

connection_counts server_core::counts() const noexcept { return counts_; }

void server_core::observe(const observation& what) noexcept {
  if (!observer) return;
  try {
    observer(what);
  } catch (const std::exception& failure) {
    report(std::string("a request could not be counted: ") + failure.what());
  }
}

void server_core::report(std::string_view line) noexcept {
  if (!problem) return;
  try {
    problem(line);
  } catch (const std::exception&) {
    // The log itself failed: there is nobody left to tell, and the loop must go on.
  }
}

}  // namespace rtd::http::detail
