#include "daemon/sandbox/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "daemon/sandbox/descriptor.h"
#include "daemon/sandbox/id_map.h"
#include "daemon/sandbox/landlock.h"
#include "daemon/sandbox/seccomp.h"

namespace rtd::sandbox {
namespace {

std::string failed(const char* call) { return std::string(call) + ": " + std::strerror(errno); }

// Needs CAP_SETPCAP, which goes with the identity.
bool drop_bounding_set() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM) return false;
  return true;
}

std::string become(const account& who) {
  if (!drop_bounding_set()) return failed("prctl(PR_CAPBSET_DROP)");
  if (::setgroups(0, nullptr) != 0) return failed("setgroups");
  if (::setresgid(who.group, who.group, who.group) != 0) return failed("setresgid");
  if (::setresuid(who.user, who.user, who.user) != 0) return failed("setresuid");
  return {};
}

std::string enter_user_namespace(int proc) {
  const id_map map(::geteuid(), ::getegid());
  // The files of /proc belong to root while the process may not be dumped, which a change of identity brought about.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return failed("prctl(PR_SET_DUMPABLE)");
  if (::unshare(CLONE_NEWUSER) != 0) return failed("unshare(CLONE_NEWUSER)");
  if (const int error = map.write(proc); error != 0) return std::string("the id maps: ") + std::strerror(error);
  return {};
}

std::string drop_capabilities() {
  if (!drop_bounding_set()) return failed("prctl(PR_CAPBSET_DROP)");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return failed("prctl(PR_CAP_AMBIENT)");
  // Being root means nothing. Without CAP_SETPCAP, that is without a user namespace, there was nothing to lose.
  constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0 && errno != EPERM) return failed("prctl(PR_SET_SECUREBITS)");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capset, &header, sets) != 0) return failed("capset");
  return {};
}

std::string check_no_new_privs() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("prctl(PR_SET_NO_NEW_PRIVS)");
  return {};
}

bool restricts_ports(const host_policy& policy) { return policy.listen_ports || policy.connect_ports; }

class sequence {
 public:
  explicit sequence(bool strict) : strict_(strict) {}

  // Whether the next step may be taken.
  bool add(const char* layer, std::string problem) {
    if (problem.empty()) {
      report_.active.emplace_back(layer);
      return true;
    }
    report_.missing.push_back({layer, std::move(problem)});
    return !strict_;
  }
  confinement_report take() { return std::move(report_); }

 private:
  bool strict_;
  confinement_report report_;
};

}  // namespace

std::string remedy_for(const std::string& layer) {
  std::string namespaces =
      "rtd needs to be started as root, or user namespaces be allowed: sysctl user.max_user_namespaces above 0, on "
      "Debian kernel.unprivileged_userns_clone=1, on Ubuntu an AppArmor profile with \"userns,\", in a container "
      "CAP_SYS_ADMIN or a seccomp profile that lets unshare through";
  if (layer == "user_namespace" || layer == "nested_user_namespace") return namespaces;
  if (layer.ends_with("_namespace")) return namespaces;
  if (layer == "landlock") return "a kernel of at least 5.13 with \"landlock\" in its lsm= list";
  if (layer == "landlock_ports")
    return "a kernel of at least 6.7; or grant every port (\"*\") in \"listen\" and \"connect\", which asks for no "
           "such "
           "layer";
  if (layer == "seccomp" || layer == "seccomp_sealed") return "a kernel with CONFIG_SECCOMP_FILTER";
  if (layer == "cgroup")
    return "a cgroup v2 that is delegated to rtd with the controllers memory, cpu and pids (Delegate=yes in its unit)";
  return {};
}

std::string describe(const missing_layer& layer) {
  std::string text = "layer " + layer.name + " is not to be had: " + layer.reason;
  if (const std::string remedy = remedy_for(layer.name); !remedy.empty()) text += " (" + remedy + ")";
  return text;
}

confinement_report confine_host(const host_policy& policy) {
  sequence steps(policy.strict);
  const bool good = [&] {
    // As the account that it will have later: what it makes is then its own, and what it may not read shows.
    if (policy.learn_key)
      return (!policy.become || steps.add("identity", become(*policy.become))) &&
             steps.add("no_new_privs", check_no_new_privs()) &&
             steps.add("seccomp", apply_seccomp({.datagrams = true, .learn_key = policy.learn_key}));
    if (policy.become && !steps.add("identity", become(*policy.become))) return false;
    if (!steps.add("nested_user_namespace", enter_user_namespace(proc_descriptor))) return false;
    // It shows the whole machine's processes.
    ::close(proc_descriptor);
    if (!steps.add("capabilities", drop_capabilities())) return false;
    if (!steps.add("no_new_privs", check_no_new_privs())) return false;
    if (!steps.add("landlock", apply_landlock(policy))) return false;
    if (restricts_ports(policy)) {
      const int level = landlock_level();
      const std::string problem =
          level >= landlock_ports_level ? "" : "the kernel's Landlock has level " + std::to_string(level) + ", not 4";
      if (!steps.add("landlock_ports", problem)) return false;
    }
    // A change of identity has cleared these two.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::prctl(PR_SET_DUMPABLE, policy.dumpable ? 1 : 0, 0, 0, 0);
    return steps.add("seccomp", apply_seccomp({.datagrams = policy.datagrams}));
  }();
  if (!good || policy.learn_key) ::close(proc_descriptor);
  return steps.take();
}

host_policy receive_policy() {
  const descriptor file(policy_descriptor);
  std::string text;
  char piece[4096];
  ssize_t count = 0;
  while ((count = ::pread(file.get(), piece, sizeof piece, static_cast<off_t>(text.size()))) > 0)
    text.append(piece, static_cast<std::size_t>(count));
  if (count < 0) throw std::runtime_error(failed("the policy's descriptor"));
  return policy_from(text);
}

void serve_as_reaper() {
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  ::close_range(0, ~0U, 0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  // It has nothing that would be worth much, but nothing is better.
  const bool confined = drop_capabilities().empty() && check_no_new_privs().empty() && apply_reaper_seccomp().empty();
  if (!confined) ::_exit(126);
  for (;;) {
    if (::waitpid(-1, nullptr, 0) > 0) continue;
    int number = 0;
    ::sigwait(&child, &number);
  }
}

}  // namespace rtd::sandbox
