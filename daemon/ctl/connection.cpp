#include "daemon/ctl/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "daemon/ctl/error.h"

namespace rtd::ctl {
namespace {

using std::chrono::steady_clock;

constexpr const char* how_to_reach = "is rtd running? give --socket or set RTD_SOCKET";

[[noreturn]] void throw_timed_out(const std::string& name) {
  throw command_error(exit_code::timed_out, "no answer from rtd at " + name + " in time",
                      "give more time with --timeout, or look at rtd's log");
}

[[noreturn]] void throw_cannot_connect(const std::string& path, int problem) {
  const std::string message = "cannot connect to " + path + ": " + std::strerror(problem);
  if (problem == EACCES || problem == EPERM)
    throw command_error(exit_code::permission_denied, message,
                        "run as root or as a member of the socket's group (see `ls -l " + path + "`)");
  throw command_error(exit_code::unreachable, message, how_to_reach);
}

}  // namespace

deadline deadline_in(double seconds) {
  // Far beyond any sensible limit the arithmetic of the clock would overflow.
  if (seconds <= 0 || seconds > 1e9) return std::nullopt;
  return steady_clock::now() +
         std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(seconds));
}

connection connection::open(const std::string& path, deadline limit) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) throw command_error(exit_code::usage, "the path of the control socket is empty", how_to_reach);
  if (path.size() >= sizeof address.sun_path)
    throw command_error(exit_code::usage,
                        "the path of the control socket has " + std::to_string(path.size()) +
                            " bytes, the system takes " + std::to_string(sizeof address.sun_path - 1) + ": " + path,
                        "use a shorter path, or a relative one");
  std::memcpy(address.sun_path, path.data(), path.size());

  connection result(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), path);
  if (result.descriptor_ < 0) throw_cannot_connect(path, errno);
  while (::connect(result.descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    // A unix socket whose queue of waiting clients is full answers EAGAIN, and there is nothing to poll for.
    if (errno != EAGAIN) throw_cannot_connect(path, errno);
    if (limit && steady_clock::now() >= *limit) throw_timed_out(path);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return result;
}

connection::connection(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}

connection::~connection() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

connection::connection(connection&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      interrupt_(other.interrupt_),
      name_(std::move(other.name_)),
      decoder_(std::move(other.decoder_)) {}

connection& connection::operator=(connection&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(interrupt_, other.interrupt_);
  std::swap(name_, other.name_);
  std::swap(decoder_, other.decoder_);
  return *this;
}

void connection::wait_for(short events, deadline limit) const {
  for (;;) {
    int milliseconds = -1;
    if (limit) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*limit - steady_clock::now()).count();
      if (left <= 0) throw_timed_out(name_);
      milliseconds = static_cast<int>(std::min<std::int64_t>(left, 1'000'000));
    }
    pollfd entries[] = {{descriptor_, events, 0}, {interrupt_, POLLIN, 0}};
    const int ready = ::poll(entries, 2, milliseconds);
    if (ready > 0 && entries[1].revents != 0) throw interrupted();
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR)
      throw command_error(exit_code::unreachable, "cannot wait for rtd at " + name_ + ": " + std::strerror(errno));
  }
}

void connection::write_line(std::string_view line, deadline limit) {
  std::string bytes(line);
  bytes += '\n';
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t sent = ::send(descriptor_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_for(POLLOUT, limit);
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return;  // rtd may have said why before it closed: that is read next, or else the end of the stream is
    } else if (errno != EINTR) {
      throw command_error(exit_code::unreachable, "cannot send to rtd at " + name_ + ": " + std::strerror(errno));
    }
  }
}

std::string connection::read_line(deadline limit) {
  char buffer[16384];
  for (;;) {
    if (auto line = decoder_.next()) return *std::move(line);
    if (!decoder_.error().empty())
      throw command_error(exit_code::unreachable,
                          "what answers at " + name_ + " is not rtd: it sent " + decoder_.error(),
                          "give the path of rtd's control socket with --socket");
    const ssize_t got = ::recv(descriptor_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      decoder_.feed(std::string_view(buffer, static_cast<std::size_t>(got)));
    } else if (got == 0 || errno == ECONNRESET) {
      throw command_error(exit_code::unreachable, "rtd closed the connection at " + name_,
                          "it may be stopping, or refuse this user; look at rtd's log");
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_for(POLLIN, limit);
    } else if (errno != EINTR) {
      throw command_error(exit_code::unreachable, "cannot read from rtd at " + name_ + ": " + std::strerror(errno));
    }
  }
}

}  // namespace rtd::ctl
