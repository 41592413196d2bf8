#include "daemon/sandbox/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace rtd::sandbox {
namespace {

constexpr int least_source = 10;  // above all numbers that the host uses
constexpr int exec_timeout_ms = 10'000;

// What the child tells. A layer's index, or one of these.
enum step : int { exec_failed = -1, clone_failed = -2, reaper_is = -3, host_is = -4 };
struct report_line {
  int what;
  int value;  // an errno, or a process id; negative errno: nothing can be built on what is left
};

std::string reason(int error) { return std::strerror(error); }

[[noreturn]] void fail(const std::string& step, int error, const std::string& hint = {}) {
  throw launch_error(step + ": " + reason(error) + (hint.empty() ? "" : " (" + hint + ")"));
}

// The same descriptor under a number that no step of the child overwrites.
descriptor moved_up(descriptor from) {
  descriptor result(::fcntl(from.get(), F_DUPFD_CLOEXEC, least_source));
  if (!result) fail("fcntl", errno, "raise the supervisor's limit of open files");
  return result;
}

std::pair<descriptor, descriptor> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe", errno, "raise the supervisor's limit of open files");
  descriptor reader(ends[0]);
  descriptor writer(ends[1]);
  return {std::move(reader), moved_up(std::move(writer))};
}

void make_non_blocking(const descriptor& which) {
  if (::fcntl(which.get(), F_SETFL, O_NONBLOCK) != 0) fail("fcntl", errno);
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Everything that the child needs.
struct child_plan {
  layer_list layers;
  const char* program = nullptr;
  char* const* arguments = nullptr;
  char* const* shared_root_arguments = nullptr;  // where the host sees the machine's files
  char* const* environment = nullptr;
  char* const* reaper_arguments = nullptr;
  int report = -1;        // before the layer "descriptors"
  int moved_report = -1;  // after it
  bool confined = false;  // whether the numbers of policy.h are wanted
};

class child {
 public:
  explicit child(const child_plan& plan) noexcept
      : plan_(plan), report_(plan.report), arguments_(plan.shared_root_arguments) {}

  [[noreturn]] void run() noexcept {
    for (std::size_t i = 0; i < plan_.layers.size(); ++i) {
      const layer& one = *plan_.layers[i].what;
      const int error = one.apply();
      if (error != 0) {
        tell(static_cast<int>(i), error);
        if (plan_.layers[i].needed || error < 0) ::_exit(126);
        continue;
      }
      if (one.name() == "descriptors") {
        report_ = plan_.moved_report;
        if (plan_.confined) open_proc();
      }
      if (one.name() == "mount_namespace") arguments_ = plan_.arguments;
      if (one.name() == "pid_namespace") make_processes_ = true;
    }
    if (make_processes_) {
      clone_into(plan_.reaper_arguments, reaper_is);
      clone_into(arguments_, host_is);
      ::_exit(0);
    }
    become_host(arguments_);
  }

 private:
  // Without /proc the id maps cannot be written; the layer that needs them will say so.
  static void open_proc() noexcept {
    const int proc = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0) return;
    ::dup2(proc, proc_descriptor);
    if (proc != proc_descriptor) ::close(proc);
  }

  // A sibling: its parent is the supervisor. The raw call, because fork() has no flags.
  void clone_into(char* const* arguments, int role) noexcept {
    const long made = ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (made < 0) {
      tell(clone_failed, errno);
      ::_exit(126);
    }
    if (made > 0) return tell(role, static_cast<int>(made));
    // The parent's death before this call shows when the link turns out to be closed.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    become_host(arguments);
  }

  [[noreturn]] void become_host(char* const* arguments) noexcept {
    if (plan_.confined) {
      const int threads = ::openat(proc_descriptor, "self/stat", O_RDONLY | O_CLOEXEC);
      if (threads >= 0) {
        ::dup2(threads, threads_descriptor);
        if (threads != threads_descriptor) ::close(threads);
      }
    }
    ::execve(plan_.program, arguments, plan_.environment);
    tell(exec_failed, errno);
    ::_exit(126);
  }

  // Eight bytes into a pipe that holds thousands: they are written whole or the reader is gone.
  void tell(int what, int value) noexcept {
    const report_line line{what, value};
    if (::write(report_, &line, sizeof line) != sizeof line) ::_exit(127);
  }

  const child_plan& plan_;
  int report_;
  char* const* arguments_;
  bool make_processes_ = false;
};

// Signals stay blocked from before the fork until the child has reset their handlers, so that no handler of the
// supervisor ever runs in the child.
class signals_blocked {
 public:
  signals_blocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

void kill_and_reap(pid_t pid) {
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// First processes of namespaces that were killed and have not gone yet. The supervisor's only thread alone has it.
std::vector<pid_t>& lingering() {
  static std::vector<pid_t> all;
  return all;
}

// Such a process is there until all others of its namespace are gone: milliseconds after the host was reaped, unless
// the kernel holds one of them (a disk that does not answer). The supervisor does not wait for that, but looks again
// later.
void reap_namespace(pid_t reaper) {
  constexpr int patience = 20;  // looks, a millisecond apart
  lingering().push_back(reaper);
  for (int look = 0; look < patience; ++look) {
    reap_lingering();
    if (lingering().empty()) return;
    ::usleep(1000);
  }
}

[[noreturn]] void fail_exec(const std::string& program, int error) {
  fail("exec " + program, error,
       error == ENOENT   ? "is rtd-host installed beside rtd? Set \"host_binary\""
       : error == EACCES ? "the file must be executable, on a file system without noexec"
                         : "");
}

[[noreturn]] void fail_layer(const std::string& name, int error) {
  const std::string remedy = error == ENOSYS ? "the kernel is too old: rtd needs Linux 5.12" : remedy_for(name);
  throw layer_error("layer " + name + ": " + reason(error) + (remedy.empty() ? "" : " (" + remedy + ")"));
}

// Reads what the child tells until all of it has exec'ed: then nobody has the pipe open any more.
class launch_watch {
 public:
  launch_watch(launched_host& host, const descriptor& report, const layer_list& layers, const std::string& program)
      : host_(host), report_(report), layers_(layers), program_(program) {}

  void wait() {
    try {
      for (report_line line{}; next(line);) take(line);
    } catch (...) {
      give_up();
      throw;
    }
    if (host_.reaper < 0) return;
    // The child in between has done its work.
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
    child_ = -1;
  }

 private:
  bool next(report_line& line) {
    pollfd waiting{report_.get(), POLLIN, 0};
    int ready = 0;
    while ((ready = ::poll(&waiting, 1, exec_timeout_ms)) < 0 && errno == EINTR) {
    }
    if (ready <= 0) throw launch_error("the host did not start within 10 s");
    const auto got = ::read(report_.get(), &line, sizeof line);
    if (got != 0 && got != sizeof line) throw launch_error("the host ended before it started");
    if (got == 0) return false;
    return true;
  }

  void take(const report_line& line) {
    switch (line.what) {
      case exec_failed:
        fail_exec(program_, line.value);
      case clone_failed:
        fail("clone", line.value, "the limit of processes or the memory is used up");
      case reaper_is:
        host_.reaper = line.value;
        return;
      case host_is:
        child_ = std::exchange(host_.pid, line.value);
        return;
      default:
        break;
    }
    const planned_layer& failed = layers_.at(static_cast<std::size_t>(line.what));
    const std::string name(failed.what->name());
    if (failed.needed || line.value < 0) fail_layer(name, line.value < 0 ? -line.value : line.value);
    host_.missing.push_back({name, reason(line.value)});
  }

  void give_up() noexcept {
    for (pid_t* one : {&host_.reaper, &host_.pid, &child_})
      if (*one > 0) ::kill(*one, SIGKILL);
    // The namespace's first process ends when its others have been reaped.
    for (pid_t* one : {&child_, &host_.pid, &host_.reaper}) {
      if (*one <= 0) continue;
      while (::waitpid(*one, nullptr, 0) < 0 && errno == EINTR) {
      }
      *one = -1;
    }
  }

  launched_host& host_;
  const descriptor& report_;
  const layer_list& layers_;
  const std::string& program_;
  pid_t child_ = -1;
};

class group_layer final : public layer {
 public:
  explicit group_layer(const std::string& group) : path_(group + "/cgroup.procs") {}
  std::string_view name() const noexcept override { return "cgroup"; }
  int apply() const noexcept override {
    const int file = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0) return errno;
    const int error = ::write(file, "0", 1) < 0 ? errno : 0;
    ::close(file);
    return error;
  }

 private:
  std::string path_;
};

// A group of its own for each host: the former one may still be emptying.
std::string make_group(const std::string& name, const group_limits& limits) {
  static cgroup_tree tree("");
  static unsigned number = 0;
  return tree.make("sandbox-" + name + "." + std::to_string(++number), limits);
}

// A memory file that nobody can change any more.
descriptor sealed_file(const std::string& text) {
  descriptor file(::memfd_create("rtd-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    fail("memfd_create", errno);
  return moved_up(std::move(file));
}

void add_namespaces(layer_list& layers, const confinement& confine) {
  const bool needed = confine.strict;
  if (!confine.privileged) layers.push_back({make_user_namespace_layer(confine.user, confine.group), needed});
  layers.push_back({make_ipc_namespace_layer(), needed});
  layers.push_back({make_uts_namespace_layer(), needed});
  if (confine.own_network) layers.push_back({make_network_namespace_layer(), needed});
  layers.push_back({make_root_layer(confine.root), needed});
  layers.push_back({make_pid_namespace_layer(), needed});
}

}  // namespace

launched_host launch(const launch_request& request) {
  launched_host host;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    fail("socketpair", errno, "raise the supervisor's limit of open files");
  host.link = descriptor(ends[0]);
  const descriptor child_link = moved_up(descriptor(ends[1]));
  auto [output, child_output] = make_pipe();
  auto [errors, child_errors] = make_pipe();
  auto [report, child_report] = make_pipe();
  const descriptor child_input = moved_up(descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  host.standard_output = std::move(output);
  host.standard_error = std::move(errors);
  make_non_blocking(host.link);
  make_non_blocking(host.standard_output);
  make_non_blocking(host.standard_error);

  std::optional<descriptor> policy;
  if (request.confine) policy = sealed_file(to_text(request.confine->policy));
  if (request.group.any()) {
    try {
      host.group = make_group(request.name, request.group);
    } catch (const std::runtime_error& error) {
      host.missing.push_back({"cgroup", error.what()});
      if (request.confine && request.confine->strict) throw layer_error(describe(host.missing.front()));
    }
  }

  child_plan plan;
  std::vector<int> kept = {child_input.get(), child_output.get(), child_errors.get(), child_link.get()};
  // Numbers 4 and 5 are made by the child itself.
  if (policy) kept.insert(kept.end(), {child_input.get(), child_input.get(), policy->get()});
  layer_list& layers = plan.layers;
  layers.push_back({make_parent_death_layer(::getpid()), true});
  layers.push_back({make_session_layer(), true});
  layers.push_back({make_signal_layer(), true});
  plan.moved_report = static_cast<int>(kept.size());
  layers.push_back({make_descriptor_layer(std::move(kept), child_report.get()), true});
  if (!host.group.empty()) layers.push_back({std::make_unique<group_layer>(host.group), true});
  if (request.confine && !request.confine->learning) add_namespaces(layers, *request.confine);
  layers.push_back({make_rlimit_layer(request.limits), true});
  layers.push_back({make_no_new_privs_layer(), true});

  std::vector<std::string> arguments = {request.program};
  arguments.insert(arguments.end(), request.arguments.begin(), request.arguments.end());
  arguments.insert(arguments.end(), {"--link-fd", std::to_string(link_descriptor)});
  if (request.confine) arguments.emplace_back("--confined");
  std::vector<std::string> shared_root_arguments = arguments;
  if (request.confine) shared_root_arguments.emplace_back("--shared-root");
  std::vector<std::string> reaper_arguments = {request.program, "--reaper"};
  std::vector<std::string> environment = request.environment;
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> shared_root_pointers = pointers_to(shared_root_arguments);
  const std::vector<char*> reaper_pointers = pointers_to(reaper_arguments);
  const std::vector<char*> environment_pointers = pointers_to(environment);
  plan.program = request.program.c_str();
  plan.arguments = argument_pointers.data();
  plan.shared_root_arguments = shared_root_pointers.data();
  plan.reaper_arguments = reaper_pointers.data();
  plan.environment = environment_pointers.data();
  plan.report = child_report.get();
  plan.confined = request.confine.has_value();

  {
    const signals_blocked guard;
    host.pid = ::fork();
    if (host.pid == 0) child(plan).run();
  }
  try {
    if (host.pid < 0) fail("fork", errno, "the limit of processes or the memory is used up");
    child_report.reset();
    launch_watch(host, report, layers, request.program).wait();
    // The child is ours and unreaped, so its number cannot have gone to another process.
    host.process = descriptor(static_cast<int>(::syscall(SYS_pidfd_open, host.pid, 0)));
    if (!host.process) {
      const int error = errno;
      if (host.reaper > 0) ::kill(host.reaper, SIGKILL);
      kill_and_reap(host.pid);
      if (host.reaper > 0) kill_and_reap(host.reaper);
      fail("pidfd_open", error, error == ENOSYS ? "the kernel is too old: rtd needs Linux 5.12" : "");
    }
  } catch (const launch_error&) {
    if (!host.group.empty()) cgroup_tree::remove(host.group);
    throw;
  }
  for (const auto& one : layers) {
    const std::string name(one.what->name());
    const bool missing =
        std::any_of(host.missing.begin(), host.missing.end(), [&](const auto& other) { return other.name == name; });
    if (!missing) host.layers.push_back(name);
  }
  host.warnings = clamped_limits(host.pid, request.limits);
  return host;
}

void reap_lingering() {
  std::erase_if(lingering(), [](pid_t one) { return ::waitpid(one, nullptr, WNOHANG) != 0; });
}

process_end reap_host(const host_remains& of) {
  // The host is a zombie, which keeps its number and its group's; what it has forked may still be alive in the group.
  ::kill(-of.pid, SIGKILL);
  if (of.reaper > 0) ::kill(of.reaper, SIGKILL);
  process_end end;
  int status = 0;
  pid_t reaped = 0;
  while ((reaped = ::waitpid(of.pid, &status, 0)) < 0 && errno == EINTR) {
  }
  if (reaped > 0 && WIFSIGNALED(status))
    end = {.signalled = true, .code = WTERMSIG(status), .core = WCOREDUMP(status) != 0};
  else if (reaped > 0)
    end.code = WEXITSTATUS(status);
  if (of.reaper > 0) reap_namespace(of.reaper);
  if (!of.group.empty()) {
    end.out_of_memory = kills_for_memory(of.group) > 0;
    end.counts = counts_of(of.group);
    cgroup_tree::remove(of.group);
  }
  return end;
}

}  // namespace rtd::sandbox
