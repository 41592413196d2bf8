// Starting a host: a process that is confined from before its first instruction.
//
//   supervisor     child                                      host                       reaper
//   ──────────     ─────                                      ────                       ──────
//   fork ────────▶ process layers, cgroup, namespaces, root
//                  clone (sibling) ─────────────────────────────────────────────────────▶ exec rtd-host --reaper
//                  clone (sibling) ─────────────────────────▶ exec rtd-host
//   reap child ◀── exit                                       confine.h, then its work
//
// A process cannot move itself into a pid namespace, only its children; and the first process of one is special:
// signals that it sends to itself do not end it, so abort() would not. Hence two processes: the first one, the reaper,
// does nothing; the host is the second, with signals as everywhere. Both are made as siblings (CLONE_PARENT), so that
// the supervisor is the host's parent and learns how it ended. When the reaper dies, the kernel kills all that is left
// in the namespace.
//
// Invariants:
//   1. Between fork and exec the child makes system calls only. Everything that it needs (argument vectors, numbers,
//      layers) was built before the fork.
//   2. A host never has a descriptor, a signal disposition or an environment variable of the supervisor that was not
//      listed for it.
//   3. Either launch() gives a running host with every layer applied that it needs, or it throws, the child is gone and
//      reaped, and the error names the layer that failed. A host never runs with a needed layer missing; the layers
//      that it applies itself it reports, and the supervisor compares.
// Rejected: posix_spawn (cannot set no_new_privs, the parent-death signal or namespaces), a long-lived fork server (a
// second process to guard; the supervisor is small, so its fork is cheap), clone3 (some units' filters answer ENOSYS),
// /proc in the host's root (it can be mounted only where nothing covers the machine's own, so in no container; what the
// runtime needs of it, the number of threads, comes through one open file).
#pragma once

#include <sys/types.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/sandbox/cgroup.h"
#include "daemon/sandbox/confine.h"
#include "daemon/sandbox/descriptor.h"
#include "daemon/sandbox/namespaces.h"
#include "daemon/sandbox/policy.h"
#include "daemon/sandbox/process_layers.h"

namespace rtd::sandbox {

/// How a host is shut off from the machine. plan.h works it out.
struct confinement {
  bool strict = true;
  bool privileged = false;  // the supervisor needs no user namespace to make the others
  std::uint32_t user = 0;   // the supervisor's
  std::uint32_t group = 0;
  bool own_network = true;
  bool learning = false;  // no namespaces: what is used is noted, see daemon/host/learning.h
  std::vector<root_entry> root;
  host_policy policy;
};

struct launch_request {
  std::string name;                      // of the sandbox, for its control group
  std::string program;                   // absolute path
  std::vector<std::string> arguments;    // without the program; "--link-fd N" and "--confined" are added
  std::vector<std::string> environment;  // "NAME=value"
  resource_limits limits;
  group_limits group;
  std::optional<confinement> confine;  // nothing: only the layers that every host gets
};

struct launched_host {
  pid_t pid = -1;
  pid_t reaper = -1;   // the first process of the host's pid namespace, if it has one
  descriptor process;  // a pidfd: readable once the process has ended
  descriptor link;     // our end of the socket pair, non-blocking, as are the pipes
  descriptor standard_output;
  descriptor standard_error;
  std::string group;                   // the folder of its control group, or empty
  std::vector<std::string> layers;     // what is active, in the order of application
  std::vector<missing_layer> missing;  // what is not, though it was asked for
  std::vector<std::string> warnings;   // for the log
};

/// The host could not be started. what() names the step, the reason and, where there is one, the remedy.
class launch_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A layer that strict mode needs is not to be had: the next attempt will meet the same machine.
class layer_error : public launch_error {
 public:
  using launch_error::launch_error;
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
  bool out_of_memory = false;  // its control group's limit ended it
  group_counts counts{};       // of its control group, if it had one
};

/// What is needed to clear up after a host.
struct host_remains {
  pid_t pid = -1;
  pid_t reaper = -1;
  std::string group;
};

/// Kills what is left of the host's process group, namespace and control group, then reaps the host, which must have
/// ended (its pidfd is readable).
process_end reap_host(const host_remains& of);

/// Reaps what earlier calls of reap_host() had to leave to later. Does not block; call it now and then.
void reap_lingering();

}  // namespace rtd::sandbox
