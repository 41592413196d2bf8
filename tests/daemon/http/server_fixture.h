// A server on a loop of its own thread, and clients that speak to it over real sockets.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "daemon/http/server.h"

namespace rtd::http::test {

using namespace std::chrono_literals;

/// A client's socket. Reading gives up after 30 s, so that a broken server fails a test and does not hang it.
class client {
 public:
  explicit client(int port, int receive_buffer = 0) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) {
      ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  client(client&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        connected_(other.connected_),
        seen_(std::move(other.seen_)) {}
  client& operator=(client&&) = delete;
  ~client() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  bool connected() const { return connected_; }
  int descriptor() const { return descriptor_; }

  /// False when the server has closed.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// Everything until the server closes; "(timeout)" at the end when it does not.
  std::string read_all(std::chrono::milliseconds patience = 30s) {
    while (receive(patience)) {
    }
    return std::exchange(seen_, {}) + (timed_out_ ? "(timeout)" : "");
  }

  /// One response, by its Content-Length (`no_body` for answers to HEAD); what came of it when the server closed.
  std::string read_response(bool no_body = false, std::chrono::milliseconds patience = 30s) {
    std::size_t end = std::string::npos;
    while ((end = seen_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive(patience)) return std::exchange(seen_, {});
    }
    std::size_t size = end + 4;
    const std::size_t length = seen_.find("Content-Length: ");
    if (!no_body && length < end) size += static_cast<std::size_t>(std::stoul(seen_.substr(length + 16)));
    while (seen_.size() < size) {
      if (!receive(patience)) break;
    }
    std::string response = seen_.substr(0, size);
    seen_.erase(0, size);
    return response;
  }

  std::string ask(std::string_view request) {
    send(request);
    return read_response();
  }

  /// True when the server closes (or resets) within `patience`, whatever it sends before.
  bool closes_within(std::chrono::milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      if (!receive(std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()))) {
        return !timed_out_;
      }
    }
    return false;
  }

 private:
  bool receive(std::chrono::milliseconds patience) {
    pollfd waited{descriptor_, POLLIN, 0};
    timed_out_ = ::poll(&waited, 1, static_cast<int>(patience.count())) == 0;
    if (timed_out_) return false;
    char buffer[16384];
    const ssize_t size = ::recv(descriptor_, buffer, sizeof(buffer), 0);
    if (size <= 0) return false;
    seen_.append(buffer, static_cast<std::size_t>(size));
    return true;
  }

  int descriptor_;
  bool connected_ = false;
  bool timed_out_ = false;
  std::string seen_;
};

/// What the observer was told, copied.
struct observed {
  std::string handler;
  std::string method;
  int code;
  double seconds;
};

class server_test : public ::testing::Test {
 protected:
  ~server_test() override { end(); }

  /// Starts the server with the routes every test may use: /hello, /echo (POST), /big, /late, /never, /lost, /throws.
  void begin(limits bounds = {}) {
    server_ = std::make_unique<server>(loop_, bounds);
    server_->listen("127.0.0.1:0");
    const std::string address = server_->addresses().at(0);
    port_ = std::stoi(address.substr(address.rfind(':') + 1));
    server_->on_request([this](const observation& what) {
      observed_.push_back({std::string(what.handler), std::string(what.method), what.code, what.seconds});
    });
    server_->on_problem([this](std::string_view line) { problems_.emplace_back(line); });
    server_->route("/hello", [](const request& asked, responder reply) {
      reply.answer(text_response(200, "hello " + std::string(asked.query_value("name").value_or("world"))));
    });
    server_->route("/echo",
                   [](const request& asked, responder reply) {
                     reply.answer(text_response(200, asked.method + " " + asked.body));
                   },
                   {"POST", "PUT"});
    server_->route("/big", [](const request& asked, responder reply) {
      const std::size_t size = std::stoul(std::string(asked.query_value("size").value_or("100000")));
      response answer;
      while (answer.body.size() < size) answer.body += "a line of a page that is made to be large\n";
      reply.answer(std::move(answer));
    });
    server_->route("/late", [this](const request&, responder reply) { held_.push_back(reply); });
    server_->route("/lost", [](const request&, responder) {});
    server_->route("/throws", [](const request&, responder) { throw std::runtime_error("on purpose"); });
    thread_ = std::thread([this] { loop_.run(); });
  }

  void end() {
    if (!thread_.joinable()) return;
    on_loop([this] {
      held_.clear();
      server_.reset();
    });
    work_.reset();
    thread_.join();
  }

  /// Runs the function on the loop's thread and returns what it returns.
  template <typename Function>
  std::invoke_result_t<Function&> on_loop(Function function) {
    std::packaged_task<std::invoke_result_t<Function&>()> task(std::move(function));
    auto result = task.get_future();
    boost::asio::post(loop_, [&task] { task(); });
    return result.get();
  }

  template <typename Condition>
  bool eventually(Condition condition, std::chrono::milliseconds patience = 30s) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!on_loop(condition)) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  std::vector<observed> seen() {
    return on_loop([this] { return observed_; });
  }
  connection_counts counts() {
    return on_loop([this] { return server_->counts(); });
  }

  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ = make_work_guard(loop_);
  std::unique_ptr<server> server_;
  std::vector<responder> held_;
  std::vector<observed> observed_;
  std::vector<std::string> problems_;
  int port_ = 0;
  std::thread thread_;
};

inline std::string get(std::string_view target, std::string_view more = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more) + "\r\n";
}

inline int status_of(std::string_view response) {
  return response.size() > 12 && response.starts_with("HTTP/1.") ? std::stoi(std::string(response.substr(9, 3))) : 0;
}

inline std::string body_of(std::string_view response) {
  const std::size_t end = response.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string() : std::string(response.substr(end + 4));
}

}  // namespace rtd::http::test
