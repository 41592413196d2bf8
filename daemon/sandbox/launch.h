// Starting a host: a process that is confined from before its first instruction.
//
// Invariants:
//   1. Between fork and exec the child makes system calls only. Everything that it needs (argument vectors, numbers,
//      layers) was built before the fork.
//   2. A host never has a descriptor, a signal disposition or an environment variable of the supervisor that was not
//      listed for it.
//   3. Either launch() gives a running host with every layer applied, or it throws, the child is gone and reaped, and
//      the error names the layer that failed. A host never runs with a layer missing that was asked for.
// Rejected: posix_spawn (cannot set no_new_privs, the parent-death signal or namespaces), a long-lived fork server (a
// second process to guard; the supervisor is small, so its fork is cheap), clone3 (some units' filters answer ENOSYS).
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/sandbox/descriptor.h"
#include "daemon/sandbox/process_layers.h"

namespace rtd::sandbox {

struct launch_request {
  std::string program;                   // absolute path
  std::vector<std::string> arguments;    // without the program; "--link-fd N" is added
  std::vector<std::string> environment;  // "NAME=value"
  resource_limits limits;
};

struct launched_host {
  pid_t pid = -1;
  descriptor process;  // a pidfd: readable once the process has ended
  descriptor link;     // our end of the socket pair, non-blocking, as are the pipes
  descriptor standard_output;
  descriptor standard_error;
  std::vector<std::string> layers;    // what is active, in the order of application
  std::vector<std::string> warnings;  // for the log
};

/// The host could not be started. what() names the step, the reason and, where there is one, the remedy.
class launch_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Starts a host. Blocks until the child has exec'ed, some milliseconds; gives up after 10 s. The process must be
/// reaped by the caller (reap_host). Call it on the thread that lives as long as the host may: the host is killed when
/// that thread ends. @throws launch_error
launched_host launch(const launch_request& request);

/// How a process ended.
struct process_end {
  bool signalled = false;
  int code = 0;  // the exit status, or the signal's number
  bool core = false;
};

/// Kills what is left of the host's process group, then reaps the host, which must have ended (its pidfd is readable).
process_end reap_host(pid_t pid);

}  // namespace rtd::sandbox
