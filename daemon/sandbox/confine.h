// The second half of a host's confinement: what the host does to itself, in this order, before it has a second thread
// and before it loads anything.
//
//   identity               becomes an account without rights, where the supervisor could make it one
//   nested_user_namespace  a user namespace below the one that owns the mounts: no capability over them is left
//   capabilities           none, none to be had from a file, none that may be kept
//   no_new_privs           was set before exec; checked here
//   landlock               files, TCP ports, signals
//   seccomp                the first stage, see seccomp.h
//
// What came before exec (namespaces, the root, limits) is the supervisor's half: launch.h. Two halves, because exec
// stands between: a filter that forbids exec cannot be put on before it, and what must not be copied into the host (the
// supervisor's memory) must not outlive it.
#pragma once

#include <string>
#include <vector>

#include "daemon/sandbox/policy.h"

namespace rtd::sandbox {

struct missing_layer {
  std::string name;
  std::string reason;
};

struct confinement_report {
  std::vector<std::string> active;     // in the order of application
  std::vector<missing_layer> missing;  // wanted, and not to be had
};

/// What can be done about a layer that is missing; empty text when nothing is known.
std::string remedy_for(const std::string& layer);

/// A layer that strict mode needs is missing. what() names it, the reason and the remedy.
std::string describe(const missing_layer& layer);

/// Confines the calling process, which must have one thread. In strict mode it ends at the first layer that cannot be
/// had: then `missing` has one entry, and the process must not go on.
confinement_report confine_host(const host_policy& policy);

/// Reads the policy from policy_descriptor and closes it. @throws std::runtime_error
host_policy receive_policy();

/// Keeps the calling process, which must have one thread, as the first one of a pid namespace until it is killed. It
/// does nothing but reap. Never returns.
[[noreturn]] void serve_as_reaper();

}  // namespace rtd::sandbox
