// bench_epoll: TCP echo on the bare system, the yardstick for the latencies of the other servers.
//
// One thread for each CPU, each with a listener of its own on the same port (SO_REUSEPORT) and an epoll instance of its
// own, so that nothing is shared. Level-triggered: a request costs one epoll_wait (shared by all that are ready), one
// recv and one send.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "bench/common/program.h"

namespace {

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

int listen_on(int port) {
  int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  int on = 1;
  check(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), "SO_REUSEPORT");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind to 127.0.0.1");
  check(listen(fd, 4096), "listen");
  return fd;
}

int port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  check(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.sin_port);
}

class server {
 public:
  explicit server(int listener) : listener_(listener), epoll_(check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
  }

  // Serves until the process ends.
  [[noreturn]] void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) check(count, "epoll_wait");
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd == listener_) {
          accept_all();
        } else if ((event.events & EPOLLOUT) != 0) {
          send_rest(event.data.fd);
        } else {
          echo(event.data.fd);
        }
      }
    }
  }

 private:
  void watch(int operation, int fd, std::uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    check(epoll_ctl(epoll_, operation, fd, &event), "epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  void echo(int fd) {
    ssize_t size = recv(fd, buffer_.data(), buffer_.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return drop(fd);
    ssize_t sent = send(fd, buffer_.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
    if (sent == size) return;
    if (sent < 0 && errno != EAGAIN) return drop(fd);
    // The peer reads too slowly: the rest goes out when there is room, and nothing more is read until then.
    std::size_t done = sent < 0 ? 0 : static_cast<std::size_t>(sent);
    unsent_[fd].assign(buffer_.data() + done, static_cast<std::size_t>(size) - done);
    watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
  }

  void send_rest(int fd) {
    std::string& rest = unsent_[fd];
    ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent < 0) return drop(fd);
    rest.erase(0, static_cast<std::size_t>(sent));
    if (!rest.empty()) return;
    unsent_.erase(fd);
    watch(EPOLL_CTL_MOD, fd, EPOLLIN);
  }

  void drop(int fd) {
    unsent_.erase(fd);
    close(fd);
  }

  int listener_;
  int epoll_;
  std::array<char, 4096> buffer_;
  std::unordered_map<int, std::string> unsent_;
};

void serve_echo(int port) {
  for (int i = 0; i < bench::usable_cpus(); ++i) {
    int listener = listen_on(port);
    port = port_of(listener);
    std::thread([listener] { server(listener).run(); }).detach();
  }
  bench::announce_port(port);
  bench::wait_for_end_of_input();
  std::_Exit(0);
}

}  // namespace

int main(int argument_count, char** arguments) {
  bench::program program;
  program.name = "bench_epoll";
  program.version = "epoll";
  program.serve_echo = serve_echo;
  return bench::main_of(program, argument_count, arguments);
}
