// Tries to get out of its sandbox, in one way a task: a task completes when the attempt was refused, with the reason in
// its log, and fails when it succeeded.
#include <rt/rt.h>

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using attempt = std::function<long(rt::task&)>;

long call(long number, auto... arguments) { return syscall(number, arguments...); }

long open_to(const char* path, int flags) {
  const int file = open(path, flags, 0600);
  if (file >= 0) close(file);
  return file;
}

// A process that ends at once, if it comes to be.
long ended(long pid) {
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return pid;
}

long mapped(void* memory) { return memory == MAP_FAILED ? -1 : 0; }

long socket_of(int family, int type, int protocol) {
  const int made = socket(family, type, protocol);
  if (made >= 0) close(made);
  return made;
}

long connect_unix(const std::string& path, bool abstract, int flags) {
  const int made = socket(AF_UNIX, SOCK_STREAM | flags, 0);
  if (made < 0) return -1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + (abstract ? 1 : 0), path.c_str(), path.size());
  return connect(made, reinterpret_cast<sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1));
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

long tcp(int port, bool to_listen) {
  const int made = socket(AF_INET, SOCK_STREAM, 0);
  if (made < 0) return made;
  const sockaddr_in address = loopback(port);
  const auto where = reinterpret_cast<const sockaddr*>(&address);
  const long outcome = to_listen ? bind(made, where, sizeof address) : connect(made, where, sizeof address);
  const int error = errno;
  close(made);
  errno = error;
  return outcome;
}

long send_datagram() {
  const int made = socket(AF_INET, SOCK_DGRAM, 0);
  if (made < 0) return -1;
  sockaddr_in address = loopback(53);
  address.sin_addr.s_addr = htonl(0x08080808);
  return sendto(made, "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Code that was written by the program itself: bytes in a file that it may write.
long map_written_file() {
  const int file = open("/tmp/code", O_RDWR | O_CREAT | O_TRUNC, 0700);
  if (file < 0 || write(file, "\xc3", 1) != 1) throw std::runtime_error("no file to try with");
  return mapped(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0));
}

// Any open folder would be a way out past the root.
long find_folder() {
  for (int file = 0; file < 4096; ++file) {
    struct stat status {};
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) return file;
  }
  errno = ENOENT;
  return -1;
}

long raise_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur = limit.rlim_max = RLIM_INFINITY;
  return setrlimit(RLIMIT_CORE, &limit);
}

long listen_for_calls() {
  struct {
    unsigned short length = 1;
    const void* code = nullptr;
  } program;
  return call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

const std::map<std::string, attempt>& attempts() {
  static const std::map<std::string, attempt> all = {
      // files
      {"read-shadow", [](rt::task&) { return open_to("/etc/shadow", O_RDONLY); }},
      {"stat-shadow",
       [](rt::task&) {
         struct stat status;
         return long{stat("/etc/shadow", &status)};
       }},
      {"read-passwd", [](rt::task&) { return open_to("/etc/passwd", O_RDONLY); }},
      {"own-memory", [](rt::task&) { return open_to("/proc/self/mem", O_RDWR); }},
      {"memory-of-1", [](rt::task&) { return open_to("/proc/1/mem", O_RDWR); }},
      {"list-proc", [](rt::task&) { return open_to("/proc/self", O_RDONLY); }},
      {"sys", [](rt::task&) { return open_to("/sys", O_RDONLY); }},
      {"dev-mem", [](rt::task&) { return open_to("/dev/mem", O_RDWR); }},
      {"dev-kmsg", [](rt::task&) { return open_to("/dev/kmsg", O_WRONLY); }},
      {"old-root", [](rt::task&) { return open_to("/.old", O_RDONLY); }},
      {"write-root", [](rt::task&) { return long{mkdir("/made", 0700)}; }},
      {"write-library", [](rt::task&) { return open_to("/usr/lib/made", O_WRONLY | O_CREAT); }},
      {"write-plugin", [](rt::task& self) { return open_to(self.param("plugin", "").c_str(), O_WRONLY); }},
      {"replace-plugin", [](rt::task& self) { return long{unlink(self.param("plugin", "").c_str())}; }},
      {"host-file", [](rt::task& self) { return open_to(self.param("file", "").c_str(), O_RDONLY); }},
      {"descriptors", [](rt::task&) { return find_folder(); }},
      {"handles",
       [](rt::task&) {
         unsigned handle[34] = {128};
         int mount = 0;
         return call(SYS_name_to_handle_at, AT_FDCWD, "/", handle, &mount, 0);
       }},
      {"open-handle", [](rt::task&) { return call(SYS_open_by_handle_at, AT_FDCWD, nullptr, O_RDONLY); }},
      // sockets
      {"control-socket", [](rt::task& self) { return connect_unix(self.param("socket", ""), false, 0); }},
      {"control-socket-as-name-cache",
       [](rt::task& self) { return connect_unix(self.param("socket", ""), false, SOCK_CLOEXEC | SOCK_NONBLOCK); }},
      {"abstract-socket", [](rt::task&) { return connect_unix("rtd", true, 0); }},
      {"udp", [](rt::task&) { return send_datagram(); }},
      {"raw", [](rt::task&) { return socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP); }},
      {"packet", [](rt::task&) { return socket_of(AF_PACKET, SOCK_RAW, 0); }},
      {"netlink-route", [](rt::task&) { return socket_of(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE); }},
      {"netlink-audit", [](rt::task&) { return socket_of(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT); }},
      {"vsock", [](rt::task&) { return socket_of(AF_VSOCK, SOCK_STREAM, 0); }},
      {"alg", [](rt::task&) { return socket_of(AF_ALG, SOCK_SEQPACKET, 0); }},
      {"connect", [](rt::task& self) { return tcp(std::atoi(self.param("port", "").c_str()), false); }},
      {"listen", [](rt::task& self) { return tcp(std::atoi(self.param("port", "").c_str()), true); }},
      // processes
      {"kill-all", [](rt::task&) { return long{kill(-1, SIGKILL)}; }},
      {"kill-parent", [](rt::task&) { return long{kill(getppid(), SIGKILL)}; }},
      {"kill-1", [](rt::task&) { return long{kill(1, SIGKILL)}; }},
      {"tgkill-1", [](rt::task&) { return call(SYS_tgkill, 1, 1, SIGKILL); }},
      {"fork", [](rt::task&) { return ended(fork()); }},
      {"untraced", [](rt::task&) { return ended(call(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0)); }},
      {"system", [](rt::task&) { return std::system("true") == 0 ? 0L : -1L; }},
      {"exec",
       [](rt::task&) {
         char* const none[] = {nullptr};
         return long{execve("/bin/sh", none, none)};
       }},
      {"execveat", [](rt::task&) { return call(SYS_execveat, 0, "/bin/sh", nullptr, nullptr, 0); }},
      {"ptrace", [](rt::task&) { return ptrace(PTRACE_ATTACH, 1, nullptr, nullptr); }},
      {"traceme", [](rt::task&) { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
      {"read-memory-of-1", [](rt::task&) { return call(SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0); }},
      {"pidfd", [](rt::task&) { return call(SYS_pidfd_open, 1, 0); }},
      {"kcmp", [](rt::task&) { return call(SYS_kcmp, 1, getpid(), 0, 0, 0); }},
      // code
      {"map-write-exec",
       [](rt::task&) {
         return mapped(mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
       }},
      {"map-exec",
       [](rt::task&) {
         return mapped(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
       }},
      {"make-exec",
       [](rt::task&) {
         void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return long{mprotect(memory, 4096, PROT_READ | PROT_EXEC)};
       }},
      {"map-written-file", [](rt::task&) { return map_written_file(); }},
      {"memfd", [](rt::task&) { return call(SYS_memfd_create, "code", 0); }},
      // the kernel's own
      {"bpf", [](rt::task&) { return call(SYS_bpf, BPF_MAP_CREATE, nullptr, 0); }},
      {"perf", [](rt::task&) { return call(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
      {"userfaultfd", [](rt::task&) { return call(SYS_userfaultfd, 0); }},
      {"io-uring", [](rt::task&) { return call(SYS_io_uring_setup, 1, nullptr); }},
      {"keys", [](rt::task&) { return call(SYS_keyctl, 0, -3, 0, 0, 0); }},
      {"personality", [](rt::task&) { return long{personality(ADDR_NO_RANDOMIZE)}; }},
      {"user-namespace", [](rt::task&) { return long{unshare(CLONE_NEWUSER)}; }},
      {"clone3-namespace",
       [](rt::task&) {
         clone_args arguments{};
         arguments.flags = CLONE_NEWUSER;
         arguments.exit_signal = SIGCHLD;
         return ended(call(SYS_clone3, &arguments, sizeof arguments));
       }},
      {"clone-namespace", [](rt::task&) { return ended(call(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)); }},
      {"setns", [](rt::task&) { return long{setns(0, 0)}; }},
      {"mount", [](rt::task&) { return long{mount("none", "/tmp", "tmpfs", 0, nullptr)}; }},
      {"remount", [](rt::task&) { return long{mount(nullptr, "/usr/lib", nullptr, MS_REMOUNT | MS_BIND, nullptr)}; }},
      {"unmount", [](rt::task&) { return long{umount2("/usr/lib", MNT_DETACH)}; }},
      {"chroot", [](rt::task&) { return long{chroot("/tmp")}; }},
      {"become-root", [](rt::task&) { return long{setuid(0)}; }},
      {"capabilities", [](rt::task&) { return call(SYS_capset, nullptr, nullptr); }},
      {"host-name", [](rt::task&) { return long{sethostname("x", 1)}; }},
      {"raise-limit", [](rt::task&) { return raise_limit(); }},
      {"dumpable", [](rt::task&) { return long{prctl(PR_SET_DUMPABLE, 1)}; }},
      {"survive-the-supervisor", [](rt::task&) { return long{prctl(PR_SET_PDEATHSIG, 0)}; }},
      {"filter-listener", [](rt::task&) { return listen_for_calls(); }},
      {"terminal",
       [](rt::task&) {
         char letter = 'x';
         return long{ioctl(0, TIOCSTI, &letter)};
       }},
      {"unknown-call", [](rt::task&) { return call(467); }},
  };
  return all;
}

// May log, so that what happened is known, and returns; or throws when the attempt succeeded.
void judge(rt::task& self, const std::string& name, long outcome) {
  const int error = errno;
  if (outcome >= 0) throw std::runtime_error("ESCAPED by " + name);
  self.info(name + " was refused: " + strerrorname_np(error));
}

}  // namespace

static void one(rt::task& self) {
  const std::string name = self.param("attempt", "");
  const auto found = attempts().find(name);
  if (found == attempts().end()) throw std::runtime_error("no attempt " + name);
  errno = 0;
  judge(self, name, found->second(self));
}

// The list that the test goes through.
static void list(rt::task& self) {
  for (const auto& [name, unused] : attempts()) self.info("attempt " + name);
}

// All signals blocked, as many libraries' threads have them: the kernel ends the process instead.
static void blocked(rt::task&) {
  std::thread([] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  }).join();
}

// A handler of its own keeps the report away, and changes nothing of the refusal.
static void own_handler(rt::task& self) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGSYS, &action, nullptr);
  struct stat status {};
  const bool made = mkdir("/tmp/proof", 0700) == 0;
  ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  syscall(SYS_chroot, "/tmp/proof");
  if (!made || stat("/tmp/proof", &status) != 0) throw std::runtime_error("ESCAPED by chroot");
  self.info("own handler was refused: the root is the same");
}

#if defined(__x86_64__)
// Calls by the door of 32-bit programs: 20 is getpid there and writev here.
static void other_architecture(rt::task& self) {
  long outcome = 20;
  asm volatile("int $0x80" : "+a"(outcome) : : "memory");
  self.error("ESCAPED by the 32-bit door: " + std::to_string(outcome));
}

static void x32(rt::task& self) {
  const long outcome = syscall(0x40000000 + SYS_getpid);
  self.error("ESCAPED by x32: " + std::to_string(outcome));
}
#endif

// ---- bombs: each goes on until it is refused, and says by what ----

static void descriptor_bomb(rt::task& self) {
  std::vector<int> all;
  for (int one = 0; (one = open("/dev/null", O_RDONLY)) >= 0;) all.push_back(one);
  const int error = errno;
  for (const int one : all) close(one);
  self.info("descriptors ran out after " + std::to_string(all.size()) + ": " + strerrorname_np(error));
}

static void thread_bomb(rt::task& self) {
  std::vector<std::thread> all;
  std::atomic<bool> end{false};
  std::string why;
  try {
    while (all.size() < 20'000)
      all.emplace_back([&] {
        while (!end.load()) usleep(1000);
      });
  } catch (const std::system_error& error) {
    why = error.what();
  }
  end = true;
  for (auto& one : all) one.join();
  self.info("threads ran out after " + std::to_string(all.size()) + ": " + why);
}

static void fork_bomb(rt::task& self) {
  int refused = 0;
  for (int i = 0; i < 1000; ++i) refused += fork() < 0 ? 1 : 0;
  self.info("refused " + std::to_string(refused) + " of 1000 forks");
}

static void memory_bomb(rt::task&) {
  for (;;) {
    auto* piece =
        static_cast<char*>(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (piece == MAP_FAILED) throw std::runtime_error("no memory is mapped any more");
    std::memset(piece, 1, 1 << 20);
  }
}

static void file_bomb(rt::task& self) {
  const int file = open("/tmp/large", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  static const std::vector<char> piece(1 << 20, 'x');
  std::size_t written = 0;
  for (ssize_t count = 0; (count = write(file, piece.data(), piece.size())) > 0;)
    written += static_cast<std::size_t>(count);
  const int error = errno;
  close(file);
  unlink("/tmp/large");
  self.info("the file ended at " + std::to_string(written) + ": " + strerrorname_np(error));
}

static void violation_flood(rt::task& self) {
  for (int i = 0; i < 20'000; ++i) ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  self.info("flooded");
}

// ---- what is granted ----

static void environment(rt::task& self) {
  for (char** one = environ; *one != nullptr; ++one) self.info(std::string("environment ") + *one);
}

static void use_file(rt::task& self) {
  const std::string path = self.param("file", "");
  const bool to_write = self.param("write", "no") == "yes";
  const int file = open(path.c_str(), to_write ? O_RDWR | O_CREAT : O_RDONLY, 0600);
  if (file < 0) throw std::runtime_error(path + ": " + strerrorname_np(errno));
  if (to_write && write(file, "written", 7) != 7) throw std::runtime_error(path + ": " + strerrorname_np(errno));
  char text[64] = {};
  const ssize_t count = pread(file, text, sizeof text - 1, 0);
  close(file);
  self.info("the file says " + std::string(text, count > 0 ? static_cast<std::size_t>(count) : 0));
}

RT_PLUGIN("test-escape", "1.0.0", "Tries to get out of its sandbox")
RT_ENTRY(one, "One attempt")
RT_ENTRY(list, "Names the attempts")
RT_ENTRY(blocked, "A refused call with all signals blocked")
RT_ENTRY(own_handler, "A refused call with a handler of its own")
#if defined(__x86_64__)
RT_ENTRY(other_architecture, "A call by the door of 32-bit programs")
RT_ENTRY(x32, "A call with the x32 bit")
#endif
RT_ENTRY(descriptor_bomb, "Opens files until it may not")
RT_ENTRY(thread_bomb, "Starts threads until it may not")
RT_ENTRY(fork_bomb, "Forks")
RT_ENTRY(memory_bomb, "Takes memory for ever")
RT_ENTRY(file_bomb, "Writes a file until it may not")
RT_ENTRY(violation_flood, "Makes one refused call after another")
RT_ENTRY(environment, "Shows the environment")
RT_ENTRY(use_file, "Reads or writes a file")
