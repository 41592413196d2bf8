#include "daemon/host/learning.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

#include "daemon/host/fixed_text.h"
#include "daemon/host/report_parts.h"
#include "daemon/host/system_call.h"

namespace rtd::host {

namespace {

enum class kind : int { read, write, listen, connect, udp };
constexpr const char* kind_names[] = {"read", "write", "listen", "connect"};

constexpr std::size_t most_notes = 1024;
constexpr std::size_t most_bytes = 512;

struct note {
  // 0 free, 1 being filled, 2 there. Stored with release when it is there, loaded with acquire before it is read.
  std::atomic<int> state{0};
  kind what = kind::read;
  char text[most_bytes];
};

// A signal handler gets no argument of ours, so what it needs lies here.
note notes[most_notes];
std::atomic<std::uint64_t> the_key{0};
std::atomic<bool> learning{false};

void add(kind what, const char* text) noexcept {
  if (std::strlen(text) >= most_bytes) return;
  for (note& one : notes) {
    int state = one.state.load(std::memory_order_acquire);
    if (state == 2 && one.what == what && std::strcmp(one.text, text) == 0) return;
    if (state != 0 || !one.state.compare_exchange_strong(state, 1)) continue;
    one.what = what;
    std::strcpy(one.text, text);
    one.state.store(2, std::memory_order_release);
    return;
  }
}

// Only what the kernel has read already is looked at.
void add_path(kind what, std::uint64_t folder, std::uint64_t path_address, bool parent) noexcept {
  const auto path = reinterpret_cast<const char*>(path_address);
  const std::size_t length = std::strlen(path);
  if (length == 0 || length + 2 > most_bytes) return;
  if (path[0] != '/' && static_cast<int>(folder) != AT_FDCWD) return;  // below something that was opened and noted
  char text[most_bytes];
  const std::size_t before = path[0] == '/' ? 0 : 1;  // a host's working directory is the root
  text[0] = '/';
  std::memcpy(text + before, path, length + 1);
  if (parent) {
    char* slash = std::strrchr(text, '/');
    if (slash == text) return;
    *slash = '\0';
  }
  add(what, text);
}

void add_address(kind what, const sockaddr_storage& address) noexcept {
  char host[INET6_ADDRSTRLEN] = {};
  std::uint16_t port = 0;
  const bool six = address.ss_family == AF_INET6;
  if (six) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof host);
    port = ntohs(in.sin6_port);
  } else if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
    port = ntohs(in.sin_port);
  } else {
    return;
  }
  char text[96];
  fixed_text to(text, sizeof text - 1);
  to.append(six ? "[" : "");
  to.append(host);
  to.append(six ? "]:" : ":");
  to.append_number(port);
  text[to.length()] = '\0';
  add(what, text);
}

bool is_stream(int descriptor) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

kind access_of(std::uint64_t flags) noexcept {
  return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0 ? kind::write : kind::read;
}

// After the call, which has shown that its pointers are good.
void note_call(long number, const std::uint64_t* arguments) noexcept {
  switch (number) {
#if defined(SYS_open)
    case SYS_open:
      return add_path(access_of(arguments[1]), static_cast<std::uint64_t>(AT_FDCWD), arguments[0],
                      (arguments[1] & O_CREAT) != 0);
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_unlink:
      return add_path(kind::write, static_cast<std::uint64_t>(AT_FDCWD), arguments[0], true);
    case SYS_rename:
      add_path(kind::write, static_cast<std::uint64_t>(AT_FDCWD), arguments[0], true);
      return add_path(kind::write, static_cast<std::uint64_t>(AT_FDCWD), arguments[1], true);
#endif
    case SYS_openat:
      return add_path(access_of(arguments[2]), arguments[0], arguments[1], (arguments[2] & O_CREAT) != 0);
    case SYS_mkdirat:
    case SYS_unlinkat:
      return add_path(kind::write, arguments[0], arguments[1], true);
#if defined(SYS_renameat)
    case SYS_renameat:
#endif
    case SYS_renameat2:
      add_path(kind::write, arguments[0], arguments[1], true);
      return add_path(kind::write, arguments[2], arguments[3], true);
    case SYS_connect:
    case SYS_bind: {
      sockaddr_storage address{};
      const std::size_t size = std::min<std::size_t>(arguments[2], sizeof address);
      std::memcpy(&address, reinterpret_cast<const void*>(arguments[1]), size);
      if (!is_stream(static_cast<int>(arguments[0]))) return;
      return add_address(number == SYS_bind ? kind::listen : kind::connect, address);
    }
    case SYS_socket:
      return add(kind::udp, "udp");
    default:
      return;
  }
}

bool is_learned(long number) noexcept {
  switch (number) {
#if defined(SYS_open)
    case SYS_open:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_unlink:
    case SYS_rename:
#endif
#if defined(SYS_renameat)
    case SYS_renameat:
#endif
    case SYS_openat:
    case SYS_mkdirat:
    case SYS_unlinkat:
    case SYS_renameat2:
    case SYS_connect:
    case SYS_bind:
      return true;
    default:
      return false;
  }
}

bool is_datagram_socket(long number, const std::uint64_t* arguments) noexcept {
  constexpr std::uint64_t type_mask = 0xF;
  return number == SYS_socket && (arguments[0] == AF_INET || arguments[0] == AF_INET6) &&
         (arguments[1] & type_mask) == SOCK_DGRAM;
}

}  // namespace

void start_learning(std::uint64_t key) noexcept {
  the_key.store(key);
  learning.store(true);
}

bool note_learned(const siginfo_t& info, ucontext_t& context) noexcept {
  if (!learning.load()) return false;
  const long number = info.si_syscall;
  std::uint64_t arguments[6];
  for (int i = 0; i < 6; ++i) arguments[i] = call_argument(context, i);
  if (!is_learned(number) && !is_datagram_socket(number, arguments)) return false;
  const int saved = errno;
  const long outcome =
      syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], the_key.load());
  const int error = errno;
  set_call_result(context, outcome < 0 ? -error : outcome);
  // What is not there is looked for in several places, and not needed; a connection is tried, or under way.
  const bool meant = outcome >= 0 || error == EACCES || error == EPERM || error == EINPROGRESS ||
                     error == ECONNREFUSED || error == EADDRINUSE || error == ENETUNREACH;
  if (meant) note_call(number, arguments);
  errno = saved;
  return true;
}

nlohmann::json learned() {
  nlohmann::json result = {{"udp", false}};
  for (const char* name : kind_names) result[name] = nlohmann::json::array();
  for (const note& one : notes) {
    if (one.state.load(std::memory_order_acquire) != 2) continue;
    if (one.what == kind::udp)
      result["udp"] = true;
    else
      result[kind_names[static_cast<int>(one.what)]].push_back(one.text);
  }
  return result;
}

}  // namespace rtd::host
