// A unix socket whose queue is full: whoever dials it has to wait.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

namespace rt::net::testing {

/// Listens on a name of its own, and has connected to it until the kernel refused. It asks the kernel itself: how long
/// a call of rt::net::dial takes on a busy machine would tell nothing of the queue.
class full_unix_socket {
 public:
  full_unix_socket();
  ~full_unix_socket();
  full_unix_socket(const full_unix_socket&) = delete;
  full_unix_socket& operator=(const full_unix_socket&) = delete;

  std::string address() const { return "@" + name_; }
  /// Makes room for one.
  void accept_one() const { close(accept(listener_, nullptr, nullptr)); }

 private:
  static int open_socket();

  std::string name_;
  int listener_ = open_socket();
  std::vector<int> queued_;
};

inline int full_unix_socket::open_socket() {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw std::system_error(errno, std::system_category(), "socket");
  return fd;
}

inline full_unix_socket::full_unix_socket() {
  // An address of no length: the kernel chooses a free abstract name.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t length = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family) != 0 ||
      ::listen(listener_, 0) != 0 || getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::system_error(errno, std::system_category(), "a unix socket with a queue of one");
  }
  name_.assign(address.sun_path + 1, length - offsetof(sockaddr_un, sun_path) - 1);
  while (true) {
    int fd = open_socket();
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0) {
      queued_.push_back(fd);
      continue;
    }
    int error = errno;
    close(fd);
    if (error == EAGAIN) return;
    throw std::system_error(error, std::system_category(), "connect");
  }
}

inline full_unix_socket::~full_unix_socket() {
  for (int fd : queued_) close(fd);
  close(listener_);
}

}  // namespace rt::net::testing
