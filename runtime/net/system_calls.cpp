#include "runtime/net/system_calls.h"

#include <unistd.h>

#include <cerrno>

namespace rt::net::detail::system_call {

namespace {

ssize_t folded(ssize_t result) noexcept { return result < 0 ? -errno : result; }
int folded(int result) noexcept { return result < 0 ? -errno : result; }

msghdr message_of(const iovec* buffers, std::size_t count) noexcept {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(buffers);
  message.msg_iovlen = count;
  return message;
}

}  // namespace

ssize_t receive(int fd, void* buffer, std::size_t size) noexcept { return folded(::recv(fd, buffer, size, 0)); }

ssize_t receive_vector(int fd, const iovec* buffers, std::size_t count) noexcept {
  msghdr message = message_of(buffers, count);
  return folded(::recvmsg(fd, &message, 0));
}

ssize_t send(int fd, const void* data, std::size_t size) noexcept {
  return folded(::send(fd, data, size, MSG_NOSIGNAL));
}

ssize_t send_vector(int fd, const iovec* buffers, std::size_t count) noexcept {
  msghdr message = message_of(buffers, count);
  return folded(::sendmsg(fd, &message, MSG_NOSIGNAL));
}

int accept(int fd, sockaddr* from, socklen_t* length) noexcept {
  return folded(::accept4(fd, from, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int make_stream_socket(int family) noexcept {
  return folded(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int connect(int fd, const sockaddr* to, socklen_t length) noexcept { return folded(::connect(fd, to, length)); }
int bind(int fd, const sockaddr* to, socklen_t length) noexcept { return folded(::bind(fd, to, length)); }
int listen(int fd, int backlog) noexcept { return folded(::listen(fd, backlog)); }
int shutdown(int fd, int how) noexcept { return folded(::shutdown(fd, how)); }

int set_option(int fd, int level, int name, int value) noexcept {
  return folded(::setsockopt(fd, level, name, &value, sizeof value));
}

int pending_error(int fd) noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return -errno;
  return -error;
}

int local_address(int fd, sockaddr* address, socklen_t* length) noexcept {
  return folded(::getsockname(fd, address, length));
}

int peer_address(int fd, sockaddr* address, socklen_t* length) noexcept {
  return folded(::getpeername(fd, address, length));
}

// Linux frees the number in any case, so EINTR must not be answered by another try.
void close(int fd) noexcept { ::close(fd); }

}  // namespace rt::net::detail::system_call
