#include "daemon/sandbox/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rtd::sandbox {
namespace {

constexpr int link_number = 3;    // stdin, stdout, stderr, the link
constexpr int least_source = 10;  // above all numbers that the host uses
constexpr int exec_step = -1;
constexpr int exec_timeout_ms = 10'000;

// What the child writes when it fails.
struct failure {
  int step;  // index of the layer, or exec_step
  int error;
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

[[noreturn]] void run_child(const layer_list& layers, const char* program, char* const* arguments,
                            char* const* environment, int report, int moved_report) noexcept {
  failure problem{exec_step, 0};
  bool moved = false;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    problem.error = layers[i]->apply();
    if (problem.error != 0) {
      problem.step = static_cast<int>(i);
      break;
    }
    moved = moved || layers[i]->name() == "descriptors";
  }
  if (problem.error == 0) {
    ::execve(program, arguments, environment);
    problem.error = errno;
  }
  // Eight bytes into an empty pipe: it is written whole or the reader is gone.
  const auto written = ::write(moved ? moved_report : report, &problem, sizeof problem);
  ::_exit(written == sizeof problem ? 126 : 127);
}

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

// Waits for exec (the pipe closes) or for the child's word about what failed.
void await_exec(pid_t pid, const descriptor& report, const layer_list& layers, const std::string& program) {
  pollfd waiting{report.get(), POLLIN, 0};
  int ready = 0;
  while ((ready = ::poll(&waiting, 1, exec_timeout_ms)) < 0 && errno == EINTR) {
  }
  failure problem{};
  const auto got = ready > 0 ? ::read(report.get(), &problem, sizeof problem) : -1;
  if (got == 0) return;
  kill_and_reap(pid);
  if (ready == 0) throw launch_error("the host did not start within 10 s");
  if (got != static_cast<ssize_t>(sizeof problem)) throw launch_error("the host ended before it started");
  if (problem.step == exec_step)
    fail("exec " + program, problem.error,
         problem.error == ENOENT   ? "is rtd-host installed beside rtd? Set \"host_binary\""
         : problem.error == EACCES ? "the file must be executable, on a file system without noexec"
                                   : "");
  const auto name = std::string(layers[static_cast<std::size_t>(problem.step)]->name());
  fail("layer " + name, problem.error, problem.error == ENOSYS ? "the kernel is too old: rtd needs Linux 5.9" : "");
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

  layer_list layers;
  layers.push_back(make_parent_death_layer(::getpid()));
  layers.push_back(make_session_layer());
  layers.push_back(make_signal_layer());
  layers.push_back(make_descriptor_layer({child_input.get(), child_output.get(), child_errors.get(), child_link.get()},
                                         child_report.get()));
  layers.push_back(make_rlimit_layer(request.limits));
  layers.push_back(make_no_new_privs_layer());

  std::vector<std::string> arguments = {request.program};
  arguments.insert(arguments.end(), request.arguments.begin(), request.arguments.end());
  arguments.insert(arguments.end(), {"--link-fd", std::to_string(link_number)});
  std::vector<std::string> environment = request.environment;
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> environment_pointers = pointers_to(environment);

  {
    const signals_blocked guard;
    host.pid = ::fork();
    if (host.pid == 0)
      run_child(layers, request.program.c_str(), argument_pointers.data(), environment_pointers.data(),
                child_report.get(), link_number + 1);
  }
  if (host.pid < 0) fail("fork", errno, "the limit of processes or the memory is used up");
  child_report.reset();
  await_exec(host.pid, report, layers, request.program);

  // The child is ours and unreaped, so its number cannot have gone to another process.
  host.process = descriptor(static_cast<int>(::syscall(SYS_pidfd_open, host.pid, 0)));
  if (!host.process) {
    const int error = errno;
    kill_and_reap(host.pid);
    fail("pidfd_open", error, error == ENOSYS ? "the kernel is too old: rtd needs Linux 5.9" : "");
  }
  for (const auto& one : layers) host.layers.emplace_back(one->name());
  host.warnings = clamped_limits(host.pid, request.limits);
  return host;
}

process_end reap_host(pid_t pid) {
  // The host is a zombie, which keeps its number and its group's; what it has forked may still be alive in the group.
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return {};
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status), WCOREDUMP(status) != 0};
  return {false, WEXITSTATUS(status), false};
}

}  // namespace rtd::sandbox
