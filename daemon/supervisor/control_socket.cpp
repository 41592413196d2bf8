#include "daemon/supervisor/control_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rtd::supervisor {
namespace {

constexpr int backlog = 1024;

[[noreturn]] void fail(const std::string& path, const std::string& what, const std::string& remedy) {
  throw control_socket_error("control socket " + path + ": " + what + (remedy.empty() ? "" : " (" + remedy + ")"));
}

std::string folder_of(const std::string& path) { return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1)); }

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    fail(path, "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes",
         "choose a shorter \"control.socket\"");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// True when somebody accepts connections there.
bool answers(const std::string& path) {
  const sockaddr_un address = address_of(path);
  const sandbox::descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int result = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  // EAGAIN: it listens, and its queue is full.
  return result == 0 || errno == EAGAIN;
}

}  // namespace

control_socket::control_socket(std::string path, std::uint32_t mode) : path_(std::move(path)) {
  const sockaddr_un address = address_of(path_);
  const std::string folder = folder_of(path_);
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST)
    fail(path_, "the folder " + folder + " cannot be made: " + std::strerror(errno),
         "make it for the daemon's user, or choose another \"control.socket\"");

  // The lock is what two daemons that start at the same moment agree by; the probe below is for one that holds none.
  const std::string lock_path = path_ + ".lock";
  lock_ = sandbox::descriptor(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_)
    fail(path_, "cannot open " + lock_path + ": " + std::strerror(errno), "the daemon's user must own the folder");
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    fail(path_, "another rtd is running there", "stop it, or give this one another \"control.socket\"");

  struct stat found {};
  if (::lstat(path_.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) fail(path_, "there is something that is not a socket", "remove it by hand");
    if (answers(path_)) fail(path_, "another program answers there", "stop it, or choose another \"control.socket\"");
    if (::unlink(path_.c_str()) != 0) fail(path_, std::string("the old socket stays: ") + std::strerror(errno), "");
  }

  listener_ = sandbox::descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) fail(path_, std::strerror(errno), "");
  // Nobody can connect between bind and chmod: until then only the daemon's user may.
  const mode_t former = ::umask(0177);
  const int bound = ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  ::umask(former);
  if (bound != 0) fail(path_, std::strerror(bind_error), "");
  if (::lstat(path_.c_str(), &found) == 0) inode_ = found.st_ino;
  if (::chmod(path_.c_str(), mode) != 0) fail(path_, std::string("chmod: ") + std::strerror(errno), "");
  if (::listen(listener_.get(), backlog) != 0) fail(path_, std::strerror(errno), "");
}

control_socket::control_socket(std::string path, sandbox::descriptor passed) noexcept
    : path_(std::move(path)), listener_(std::move(passed)) {}

control_socket::~control_socket() {
  struct stat found {};
  if (inode_ != 0 && ::lstat(path_.c_str(), &found) == 0 && found.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace rtd::supervisor
