#include "daemon/sandbox/system_calls.h"

#include <array>

namespace rtd::sandbox {
namespace {

constexpr std::array allowed {
  // Memory. mmap, mprotect and madvise have rules of their own.
  "brk", "mincore", "mlock", "mlock2", "mremap", "msync", "munlock", "munmap",
      // Threads and their clocks.
      "exit", "exit_group", "futex", "get_robust_list", "getcpu", "gettid", "membarrier", "restart_syscall", "rseq",
      "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
      "sched_getscheduler", "sched_setaffinity", "sched_yield", "set_robust_list", "set_tid_address", "getpriority",
      // Signals. tgkill has a rule of its own.
      "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
      "sigaltstack",
      // Time.
      "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep",
      "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
      "timerfd_create", "timerfd_gettime", "timerfd_settime", "times",
      // Waiting.
      "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
      "poll", "ppoll", "pselect6", "select", "signalfd4",
      // Descriptors and files. Which files is Landlock's and the mount namespace's affair.
      "access", "chdir", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "faccessat", "faccessat2",
      "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fcntl", "fdatasync", "fgetxattr", "flock", "fstat",
      "fstatfs", "fsync", "ftruncate", "getcwd", "getdents", "getdents64", "inotify_add_watch", "inotify_init",
      "inotify_init1", "inotify_rm_watch", "link", "linkat", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open",
      "openat", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
      "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir", "sendfile", "splice", "stat",
      "statfs", "statx", "symlink", "symlinkat", "sync_file_range", "tee", "truncate", "umask", "unlink", "unlinkat",
      "utime", "utimensat", "utimes", "write", "writev",
      // Sockets that exist. socket and socketpair have rules of their own.
      "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
      "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
      // Looking at oneself and at the machine.
      "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getrandom", "getresgid",
      "getresuid", "getrlimit", "getrusage", "getsid", "getuid", "sysinfo", "uname", "capget",
#if defined(__x86_64__)
      "arch_prctl",
#endif
};

constexpr std::array reported{
    // Other processes: starting, looking into, steering them.
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "kcmp",
    "kill",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "setpgid",
    "setsid",
    "setpriority",
    "migrate_pages",
    "move_pages",
    // Namespaces, mounts, roots.
    "unshare",
    "setns",
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsmount",
    "fsconfig",
    "fspick",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "name_to_handle_at",
    "open_by_handle_at",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    // Who one is.
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    "setrlimit",
    "chown",
    "fchown",
    "fchownat",
    "lchown",
    "mknod",
    "mknodat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    // Parts of the kernel that only attacks and system tools need.
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "memfd_create",
    "memfd_secret",
    "vmsplice",
    "personality",
    "modify_ldt",
    "iopl",
    "ioperm",
    "uselib",
    "ustat",
    "sysfs",
    "syslog",
    "acct",
    "quotactl",
    "quotactl_fd",
    "swapon",
    "swapoff",
    "reboot",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "lookup_dcookie",
    "fanotify_init",
    "fanotify_mark",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "vhangup",
    "nfsservctl",
    "ioprio_set",
    "set_mempolicy",
    "mbind",
    "shmget",
    "shmat",
    "semget",
    "msgget",
    "mq_open",
};

}  // namespace

std::span<const char* const> allowed_calls() noexcept { return allowed; }
std::span<const char* const> reported_calls() noexcept { return reported; }

}  // namespace rtd::sandbox
