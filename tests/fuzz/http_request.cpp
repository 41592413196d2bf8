// The HTTP server as a whole: a client's bytes over a real connection, to routes like the daemon's.
//
// The first byte says in what pieces the rest is sent. Single-threaded: the loop runs between the pieces until it has
// nothing more to do. The client resets the connection at the end, which leaves no port waiting behind it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>

#include "daemon/http/health.h"
#include "daemon/http/server.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace rtd;
using fuzz::require;

// Small limits, so that inputs of the usual size go beyond them.
http::limits small_limits() {
  http::limits result;
  result.max_header_bytes = 1024;
  result.max_body_bytes = 256;
  return result;
}

void check(const http::request& what) {
  require(what.path.find('\0') == std::string::npos, "a path has no NUL");
  require(what.body.size() <= small_limits().max_body_bytes, "a body is within its limit");
  for (const auto& [name, value] : what.headers) {
    for (const char c : name) require(c < 'A' || c > 'Z', "a header's name is in lower case");
    require(value.find('\n') == std::string::npos, "a header is one line");
  }
}

// Sends back what a stranger sent, in the places where that could do harm.
http::response echo(const http::request& what) {
  check(what);
  http::response answer;
  answer.body = what.target + "\n" + what.body;
  answer.headers = {{"X-Path", what.path}};
  for (const auto& [name, value] : what.query) answer.headers.emplace_back("X-" + name, value);
  return answer;
}

class daemon_front {
 public:
  daemon_front() : server_(loop_, small_limits()) {
    server_.route("/", [](const http::request& what, const http::responder& to) { to.answer(echo(what)); });
    server_.route("/echo/", [](const http::request& what, const http::responder& to) { to.answer(echo(what)); },
                  {"GET", "POST"});
    server_.route("/later", [this](const http::request& what, const http::responder& to) {
      boost::asio::post(loop_, [to, answer = echo(what)] { to.answer(answer); });
    });
    server_.route("/never", [](const http::request& what, const http::responder&) { check(what); });
    server_.route("/throws", [](const http::request&, const http::responder&) { throw std::runtime_error("thrown"); });
    http::route_health(server_, "/livez", [] { return std::vector<http::health_check>{{"loop", true, "turns"}}; });
    server_.on_request([](const http::observation& seen) {
      require(seen.code >= 200 && seen.code < 600 && seen.seconds >= 0, "what is counted makes sense");
    });
    server_.listen("127.0.0.1:0");
    const std::string address = server_.addresses().front();
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_.sin_port = htons(static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1))));
  }

  void talk(std::string_view bytes, std::size_t piece) {
    const int client = connect();
    std::string answers;
    bool open = true;
    while (!bytes.empty() && open) {
      const ssize_t sent = ::send(client, bytes.data(), std::min(piece, bytes.size()), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      open = sent > 0 || errno == EAGAIN;
      loop_.poll();
      receive(client, answers);
    }
    require(answers.empty() || answers.starts_with("HTTP/1."), "an answer is one of HTTP");
    const linger reset{1, 0};
    ::setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ::close(client);
    while (server_.counts().open > 0) loop_.run_one_for(std::chrono::seconds(1));
  }

 private:
  // A server that closes first leaves a port waiting all the same; with none left, others have to come free.
  int connect() const {
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(client >= 0, "there is a socket");
    while (::connect(client, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0) {
      require(errno == EADDRNOTAVAIL, "the server can be reached");
      ::usleep(100'000);
    }
    return client;
  }
  static void receive(int from, std::string& to) {
    char buffer[4096];
    for (ssize_t got = 0; (got = ::recv(from, buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
      to.append(buffer, static_cast<std::size_t>(got));
  }

  boost::asio::io_context loop_;
  http::server server_;
  sockaddr_in address_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static daemon_front front;
  if (size == 0) return 0;
  front.talk(fuzz::text_of(data + 1, size - 1), std::size_t{data[0]} + 1);
  return 0;
}
