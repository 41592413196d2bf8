// The sockets that a task listens on, opened and kept by the supervisor for as long as the task is there: a task that
// is started anew, a host that dies, a plugin that is replaced do not close them, and who connects meanwhile waits. The
// host gets copies with each start (runtime/task/kept_listeners.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/sandbox/descriptor.h"
#include "daemon/supervisor/io/readiness.h"

namespace rtd::supervisor {

class task_listeners {
 public:
  task_listeners() = default;
  ~task_listeners();
  task_listeners(const task_listeners&) = delete;
  task_listeners& operator=(const task_listeners&) = delete;

  /// Opens what is not open yet, and closes what is not in the list any more. Returns what is wrong, with the address
  /// and the remedy, or nothing.
  std::string open(const std::vector<std::string>& addresses);
  /// Copies of all, for a host. @throws std::system_error when there are no descriptors left
  std::vector<sandbox::descriptor> copies() const;

  /// Calls `connected` once, with the address, when somebody stands in the queue of one of them, who is left there.
  /// Returns what is wrong, or nothing. Only while it waits do connections cost the supervisor anything.
  std::string wait(loop& on, const std::function<void(const std::string& address)>& connected);
  void stop_waiting() noexcept { waiting_.clear(); }

 private:
  struct listener {
    std::string address;  // as configured
    std::string file;     // of a unix socket
    sandbox::descriptor socket;
  };
  static void close(listener& one) noexcept;
  std::vector<listener> open_;
  std::vector<std::unique_ptr<readiness>> waiting_;
};

}  // namespace rtd::supervisor
