// The control socket's place in the file system: made with the right permissions, taken over from a dead daemon, never
// from a living one.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "daemon/sandbox/descriptor.h"

namespace rtd::supervisor {

/// The socket cannot be had. what() names the path, the reason and the remedy.
class control_socket_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class control_socket {
 public:
  /// Makes the folder when it is missing (only its last part), locks PATH.lock, removes a socket that a dead daemon
  /// left, and listens. @throws control_socket_error
  control_socket(std::string path, std::uint32_t mode);
  /// Takes over one that listens there already and belongs to the service manager (passed_sockets.h).
  control_socket(std::string path, sandbox::descriptor passed) noexcept;
  /// Removes the socket, unless it was passed (not the lock file: another daemon may be waiting at it).
  ~control_socket();
  control_socket(const control_socket&) = delete;
  control_socket& operator=(const control_socket&) = delete;

  const std::string& path() const noexcept { return path_; }
  /// Whether its place and permissions are the service manager's.
  bool was_passed() const noexcept { return inode_ == 0; }
  /// The listening descriptor, non-blocking; may be taken once.
  sandbox::descriptor take_listener() noexcept { return std::move(listener_); }

 private:
  std::string path_;
  sandbox::descriptor lock_;
  sandbox::descriptor listener_;
  std::uint64_t inode_ = 0;
};

}  // namespace rtd::supervisor
