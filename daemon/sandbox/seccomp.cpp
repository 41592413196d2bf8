#include "daemon/sandbox/seccomp.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>

#include "daemon/sandbox/system_calls.h"

namespace rtd::sandbox {
namespace {

// The handler of SIGSYS turns this into EPERM; the number itself is of no meaning.
constexpr std::uint32_t reported = SCMP_ACT_TRAP;
constexpr std::uint32_t unknown = SCMP_ACT_ERRNO(ENOSYS);
constexpr std::uint32_t refused = SCMP_ACT_ERRNO(EPERM);

constexpr std::uint64_t new_namespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::uint64_t socket_type_mask = 0xF;  // without SOCK_NONBLOCK and SOCK_CLOEXEC
constexpr std::uint64_t name_cache_type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
constexpr int first_unused_family = 2;
constexpr int families = 64;  // more than the kernel has

// A comparison of an argument (0 to 5). SCMP_CMP_MASKED_EQ takes the mask first.
scmp_arg_cmp where(unsigned argument, scmp_compare how, scmp_datum_t first, scmp_datum_t second = 0) noexcept {
  return {argument, how, first, second};
}

class filter {
 public:
  explicit filter(std::uint32_t otherwise) : context_(::seccomp_init(otherwise)) {
    if (!context_) {
      problem_ = "seccomp_init: no memory";
      return;
    }
    note("the attribute of foreign architectures",
         ::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    note("the attribute of all threads", ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));
    // A search tree instead of a list: a call passes some ten comparisons instead of hundreds.
    note("the attribute of the search tree", ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
  }

  template <class... Comparisons>
  void rule(std::uint32_t action, const char* name, Comparisons... comparisons) {
    if (!problem_.empty()) return;
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || number < 0) return;  // not on this architecture
    const int error = ::seccomp_rule_add(context_.get(), action, number, sizeof...(comparisons), comparisons...);
    // A rule that says what the filter does anyway.
    if (error != -EEXIST && error != -EACCES) note(name, error);
  }

  std::string load() {
    if (problem_.empty()) note("seccomp", ::seccomp_load(context_.get()));
    return problem_;
  }

 private:
  struct release {
    void operator()(void* context) const noexcept { ::seccomp_release(context); }
  };

  void note(const char* what, int error) {
    if (error != 0 && problem_.empty()) problem_ = std::string(what) + ": " + std::strerror(error < 0 ? -error : error);
  }

  std::unique_ptr<void, release> context_;
  std::string problem_;
};

void add_memory_rules(filter& to) {
  // New code comes from files alone, and is not writable.
  to.rule(SCMP_ACT_ALLOW, "mmap", where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  to.rule(SCMP_ACT_ALLOW, "mmap", where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
          where(3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS | MAP_PRIVATE, MAP_PRIVATE));
  to.rule(reported, "mmap", where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE));
  to.rule(reported, "mmap", where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
          where(3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
  to.rule(reported, "mmap", where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
          where(3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS | MAP_PRIVATE, 0));
  for (const char* name : {"mprotect", "pkey_mprotect"}) {
    to.rule(SCMP_ACT_ALLOW, name, where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    to.rule(reported, name, where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
  }
}

// MADV_HWPOISON (100) and MADV_SOFT_OFFLINE (101) take memory from the machine. A rule has one comparison for each
// argument, so what is left are two.
void add_advice_rules(filter& to) {
  to.rule(SCMP_ACT_ALLOW, "madvise", where(2, SCMP_CMP_LT, 100));
  to.rule(SCMP_ACT_ALLOW, "madvise", where(2, SCMP_CMP_GT, 101));
  to.rule(reported, "madvise", where(2, SCMP_CMP_EQ, 100));
  to.rule(reported, "madvise", where(2, SCMP_CMP_EQ, 101));
}

void add_thread_rules(filter& to) {
  constexpr std::uint64_t thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
  to.rule(SCMP_ACT_ALLOW, "clone", where(0, SCMP_CMP_MASKED_EQ, thread | new_namespaces, thread));
  // posix_spawn, system and popen block all signals around this one.
  to.rule(refused, "clone", where(0, SCMP_CMP_MASKED_EQ, CLONE_VFORK | CLONE_THREAD, CLONE_VFORK));
  to.rule(reported, "clone", where(0, SCMP_CMP_MASKED_EQ, CLONE_VFORK | CLONE_THREAD, 0));
  // Its flags lie in memory where no filter sees them. The C library falls back to clone.
  to.rule(unknown, "clone3");
  // Only threads of the own process: whoever sends to another one is told that there is none.
  to.rule(SCMP_ACT_ALLOW, "tgkill", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));
  to.rule(reported, "tgkill", where(0, SCMP_CMP_NE, static_cast<scmp_datum_t>(::getpid())));
  // Limits may be looked at.
  to.rule(SCMP_ACT_ALLOW, "prlimit64", where(2, SCMP_CMP_EQ, 0));
  to.rule(reported, "prlimit64", where(2, SCMP_CMP_NE, 0));
  constexpr int set_memory_name = 0x53564d41;  // PR_SET_VMA
  // PR_SET_NO_NEW_PRIVS is what libseccomp asks for again when the host is sealed.
  for (const int operation : {PR_SET_NO_NEW_PRIVS, PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_TIMERSLACK,
                              PR_GET_TIMERSLACK, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, set_memory_name})
    to.rule(SCMP_ACT_ALLOW, "prctl", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(operation)));
  for (const int operation : {PR_SET_PTRACER, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_MM, PR_CAPBSET_DROP,
                              PR_SET_SECUREBITS, PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_KEEPCAPS})
    to.rule(reported, "prctl", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(operation)));
}

// A process may bind itself further, as sealing does. A listener would answer calls in the kernel's place.
void add_filter_rules(filter& to) {
  constexpr int set_mode_filter = 1;
  constexpr std::uint64_t new_listener = 8;
  to.rule(SCMP_ACT_ALLOW, "seccomp", where(0, SCMP_CMP_EQ, set_mode_filter),
          where(1, SCMP_CMP_MASKED_EQ, new_listener, 0));
  to.rule(reported, "seccomp", where(0, SCMP_CMP_EQ, set_mode_filter),
          where(1, SCMP_CMP_MASKED_EQ, new_listener, new_listener));
  to.rule(SCMP_ACT_ERRNO(EINVAL), "seccomp", where(0, SCMP_CMP_NE, set_mode_filter));
}

void add_device_rules(filter& to) {
  for (const unsigned long request : {FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ})
    to.rule(SCMP_ACT_ALLOW, "ioctl", where(1, SCMP_CMP_MASKED_EQ, 0xFFFFFFFFU, request));
  // Typing on the terminal of whoever started the daemon.
  for (const unsigned long request : {TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCSETD})
    to.rule(reported, "ioctl", where(1, SCMP_CMP_MASKED_EQ, 0xFFFFFFFFU, request));
}

constexpr const char* learned_calls[] = {"open",     "openat", "mkdir",    "mkdirat",   "rmdir",   "unlink",
                                         "unlinkat", "rename", "renameat", "renameat2", "connect", "bind"};

bool is_learned(std::string_view name) {
  return std::find(std::begin(learned_calls), std::end(learned_calls), name) != std::end(learned_calls);
}

void add_learning_rules(filter& to, std::uint64_t key) {
  for (const char* name : learned_calls) {
    to.rule(SCMP_ACT_ALLOW, name, where(5, SCMP_CMP_EQ, key));
    to.rule(reported, name, where(5, SCMP_CMP_NE, key));
  }
}

void add_socket_rules(filter& to, const filter_options& options) {
  to.rule(SCMP_ACT_ALLOW, "socketpair", where(0, SCMP_CMP_EQ, AF_UNIX));
  to.rule(reported, "socketpair", where(0, SCMP_CMP_NE, AF_UNIX));
  for (const int family : {AF_INET, AF_INET6}) {
    for (std::uint64_t type = 0; type <= socket_type_mask; ++type) {
      const bool good = type == SOCK_STREAM || (type == SOCK_DGRAM && options.datagrams);
      // The C library asks for a datagram socket to sort addresses, and does without.
      if (type == SOCK_DGRAM && options.learn_key) {
        to.rule(SCMP_ACT_ALLOW, "socket", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)),
                where(1, SCMP_CMP_MASKED_EQ, socket_type_mask, type), where(5, SCMP_CMP_EQ, *options.learn_key));
        to.rule(reported, "socket", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)),
                where(1, SCMP_CMP_MASKED_EQ, socket_type_mask, type), where(5, SCMP_CMP_NE, *options.learn_key));
        continue;
      }
      const std::uint32_t action = good ? SCMP_ACT_ALLOW : type == SOCK_DGRAM ? refused : reported;
      to.rule(action, "socket", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)),
              where(1, SCMP_CMP_MASKED_EQ, socket_type_mask, type));
    }
  }
  // The C library looks for the name service's cache, and asks netlink for the machine's addresses.
  to.rule(SCMP_ACT_ERRNO(EACCES), "socket", where(0, SCMP_CMP_EQ, AF_UNIX), where(1, SCMP_CMP_EQ, name_cache_type));
  to.rule(reported, "socket", where(0, SCMP_CMP_EQ, AF_UNIX), where(1, SCMP_CMP_NE, name_cache_type));
  to.rule(SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", where(0, SCMP_CMP_EQ, AF_NETLINK), where(2, SCMP_CMP_EQ, 0));
  to.rule(reported, "socket", where(0, SCMP_CMP_EQ, AF_NETLINK), where(2, SCMP_CMP_NE, 0));
  for (int family = first_unused_family; family < families; ++family)
    if (family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
      to.rule(reported, "socket", where(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
}

}  // namespace

std::string apply_seccomp(const filter_options& options) {
  filter stage(unknown);
  for (const char* name : allowed_calls())
    if (!options.learn_key || !is_learned(name)) stage.rule(SCMP_ACT_ALLOW, name);
  if (options.learn_key) add_learning_rules(stage, *options.learn_key);
  for (const char* name : reported_calls()) stage.rule(reported, name);
  add_memory_rules(stage);
  add_advice_rules(stage);
  add_thread_rules(stage);
  add_filter_rules(stage);
  add_device_rules(stage);
  add_socket_rules(stage, options);
  return stage.load();
}

std::string seal_seccomp() {
  filter stage(SCMP_ACT_ALLOW);
  for (const char* name : {"mmap", "mprotect", "pkey_mprotect"})
    stage.rule(reported, name, where(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
  stage.rule(reported, "seccomp");
  return stage.load();
}

std::string call_name(long number) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, static_cast<int>(number)), &std::free);
  return name ? name.get() : std::to_string(number);
}

std::string apply_reaper_seccomp() {
  filter all(SCMP_ACT_KILL_PROCESS);
  for (const char* name : {"wait4", "rt_sigtimedwait", "rt_sigreturn", "restart_syscall", "exit_group"})
    all.rule(SCMP_ACT_ALLOW, name);
  return all.load();
}

}  // namespace rtd::sandbox
