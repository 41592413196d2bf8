#include "daemon/supervisor/passed_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "daemon/http/listening.h"

namespace rtd::supervisor {
namespace {

[[noreturn]] void fail(const std::string& name, const std::string& what, const std::string& remedy) {
  throw passed_socket_error("the service manager passed the socket \"" + name + "\": " + what + " (" + remedy + ")");
}

int option_of(const sandbox::descriptor& socket, int which) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket.get(), SOL_SOCKET, which, &value, &size) == 0 ? value : -1;
}

// Empty when it is not bound to a path.
std::string path_of(const sandbox::descriptor& socket) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (size <= offsetof(sockaddr_un, sun_path)) return {};
  return {address.sun_path, ::strnlen(address.sun_path, size - offsetof(sockaddr_un, sun_path))};
}

}  // namespace

passed_sockets make_passed_sockets(std::map<std::string, sandbox::descriptor> all) {
  passed_sockets result;
  result.all_ = std::move(all);
  return result;
}

passed_sockets passed_sockets::from_environment() {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  if (count < 0)
    throw passed_socket_error(std::string("LISTEN_FDS and LISTEN_FDNAMES: ") + std::strerror(-count) +
                              " (start rtd by its units, or without these variables)");
  std::map<std::string, sandbox::descriptor> all;
  std::string unknown;
  std::string twice;
  for (int i = 0; i < count; ++i) {
    sandbox::descriptor socket(SD_LISTEN_FDS_START + i);
    const std::string name = names[i];
    std::free(names[i]);
    if (name != control && name != metrics)
      unknown = name;
    else if (!all.emplace(name, std::move(socket)).second)
      twice = name;
  }
  std::free(names);
  if (!unknown.empty())
    fail(unknown, "rtd knows no socket of this name", "FileDescriptorName= of the unit may be control or metrics");
  if (!twice.empty()) fail(twice, "it came twice", "leave one ListenStream= of this name");
  return make_passed_sockets(std::move(all));
}

sandbox::descriptor passed_sockets::take(const std::string& name) {
  const auto found = all_.find(name);
  return found == all_.end() ? sandbox::descriptor() : std::move(found->second);
}

sandbox::descriptor passed_sockets::take_control(const std::string& path) {
  sandbox::descriptor socket = take(control);
  if (!socket) return socket;
  if (option_of(socket, SO_DOMAIN) != AF_UNIX || option_of(socket, SO_TYPE) != SOCK_STREAM ||
      option_of(socket, SO_ACCEPTCONN) != 1)
    fail(control, "it is no unix stream socket that listens", "write ListenStream=" + path + " in its unit");
  if (const std::string there = path_of(socket); there != path)
    fail(control, "it listens at " + there + ", and \"control.socket\" is " + path,
         "make ListenStream= of the unit and the configuration agree");
  if (::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) fail(control, std::strerror(errno), "restart its unit");
  return socket;
}

sandbox::descriptor passed_sockets::take_metrics(const std::string& address) {
  sandbox::descriptor socket = take(metrics);
  if (!socket) return socket;
  if (const std::string there = http::local_address(socket.get()); there != address)
    fail(metrics, "it listens at " + there + ", and \"http.listen\" is \"" + address + "\"",
         address.empty() ? "disable its unit, or let \"http.listen\" name that address"
                         : "make ListenStream= of the unit and the configuration agree");
  return socket;
}

void passed_sockets::check_metrics_stays() const {
  if (all_.contains(metrics))
    fail(metrics, "a reload cannot change its address", "change ListenStream= of its unit as well, and restart both");
}

}  // namespace rtd::supervisor
