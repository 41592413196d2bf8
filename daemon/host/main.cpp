// rtd-host: the process that runs the plugins of one sandbox.
//
// Its threads: the main thread runs the runtime (rt::run); the link's thread ("rtd-link") reads requests and answers
// them; the reporting thread ("rtd-log") sends log lines and the ends of tasks; slow requests have threads of their
// own. None of these is the runtime's, so the supervisor is answered whatever the plugins do. The link's and the
// reporting thread run no code of plugins, so they count as own threads (os/thread_census.h) when a deadlock is looked
// for; those of slow requests do not, since they run the constructors of plugins.
//
// The process ends in one of these ways: after a shutdown (main returns); at once when the link closes, because a host
// without its supervisor is nobody's; by a signal (crash_handler.h); by a plugin's exit() (plugin_exit.cpp). It leaves
// by _exit in all of them: kernel threads of plugins may be running, and static destructors would pull their ground
// away.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "daemon/host/crash_handler.h"
#include "daemon/host/guarded_load.h"
#include "daemon/host/host_service.h"
#include "daemon/host/host_thread.h"
#include "daemon/host/learning.h"
#include "daemon/host/link.h"
#include "daemon/host/log_drain.h"
#include "daemon/host/options.h"
#include "daemon/host/plugin_exit.h"
#include "daemon/host/violation.h"
#include "daemon/protocol/framing.h"
#include "daemon/sandbox/confine.h"
#include "rt/runtime.h"
#include "runtime/os/thread_census.h"
#include "runtime/task/kept_listeners.h"

namespace rtd::host {

namespace {

enum exit_status : int {
  ended = 0,
  start_failed = 1,
  wrong_usage = 2,
  link_lost = 3,
  link_broken = 4,
  tasks_stuck = 5,
  layer_missing = 6,
};

// Of one message on the link; what a task may be given is less (config/workload_sections.cpp).
constexpr std::size_t most_descriptors = 64;

// The signal handler writes here to wake the link's thread.
int termination_event = -1;

[[noreturn]] void leave(int status) {
  // The plugins' last lines. A stream whose lock somebody holds for ever is one that the supervisor's patience ends.
  std::fflush(stdout);
  std::fflush(stderr);
  _exit(status);
}

void on_termination(int) {
  int error = errno;
  std::uint64_t one = 1;
  ssize_t ignored = write(termination_event, &one, sizeof one);
  static_cast<void>(ignored);
  errno = error;
}

// SIGTERM is a shutdown. SIGINT and SIGHUP of a terminal reach the supervisor as well, which then decides.
void prepare_signals() {
  termination_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = &on_termination;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  // A file beyond its limit is an error of the write, not the end of all tasks.
  for (int ignored : {SIGINT, SIGHUP, SIGPIPE, SIGXFSZ}) signal(ignored, SIG_IGN);
}

// ThreadSanitizer puts a handler off until its thread makes a call that it knows. A futex's is none, the poll of the
// link's thread is one; so under it, that thread alone takes the signal. Threads that are started later inherit this.
void leave_termination_to_the_link() {
#if defined(__SANITIZE_THREAD__)
  sigset_t termination;
  sigemptyset(&termination);
  sigaddset(&termination, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &termination, nullptr);
#endif
}

bool is_link(int descriptor) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) return false;
  size = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return false;
  return fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
}

// Bytes of the link, with the descriptors that came along.
ssize_t receive(int descriptor, char* buffer, std::size_t size, host_service& service) {
  alignas(cmsghdr) char control[CMSG_SPACE(most_descriptors * sizeof(int))];
  iovec bytes{buffer, size};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = recvmsg(descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count <= 0) return count;
  for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= one->cmsg_len; at += sizeof(int)) {
      int received = -1;
      std::memcpy(&received, reinterpret_cast<const char*>(one) + at, sizeof received);
      service.take_descriptor(received);
    }
  }
  return count;
}

// The link's thread: until the link closes, which ends the process.
void serve_link(int descriptor, host_service& service, log_drain& drain) {
  constexpr auto grace_of_signal = std::chrono::seconds(5);
  rtd::protocol::frame_decoder frames;
  char buffer[64 * 1024];
  for (;;) {
    bool gave_up = false;
    int timeout = service.tick(gave_up);
    if (gave_up) {
      drain.stop();
      // The drain tells which tasks are stuck; a supervisor that does not read is not waited for.
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      leave(tasks_stuck);
    }
    pollfd waits[2] = {{descriptor, POLLIN, 0}, {termination_event, POLLIN, 0}};
    if (poll(waits, 2, timeout) < 0 && errno != EINTR) leave(link_lost);
    if ((waits[1].revents & POLLIN) != 0) {
      std::uint64_t count;
      if (read(termination_event, &count, sizeof count) == sizeof count) service.shut_down(grace_of_signal);
    }
    if (waits[0].revents == 0) continue;
    ssize_t count = receive(descriptor, buffer, sizeof buffer, service);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (count <= 0) leave(link_lost);
    frames.feed({buffer, static_cast<std::size_t>(count)});
    while (auto payload = frames.next()) {
      if (!service.handle(*payload)) leave(link_lost);
    }
    if (!frames.error().empty()) {
      std::fprintf(stderr, "rtd-host: the link to rtd is broken: %s\n", frames.error().c_str());
      leave(link_broken);
    }
  }
}

// Before the process has a second thread. What is missing is told on the link: the supervisor gives the sandbox up.
rtd::sandbox::confinement_report confine(const host_options& options) {
  if (!options.confined) return {};
  std::string problem;
  try {
    rtd::sandbox::host_policy policy = rtd::sandbox::receive_policy();
    if (options.shared_root) std::erase_if(policy.paths, [](const auto& rule) { return rule.own_root; });
    rt::os::count_threads_in(rtd::sandbox::threads_descriptor);
    rtd::sandbox::confinement_report report = rtd::sandbox::confine_host(policy);
    if (policy.learn_key) start_learning(*policy.learn_key);
    if (!policy.strict || report.missing.empty()) return report;
    problem = rtd::sandbox::describe(report.missing.front());
  } catch (const std::exception& error) {
    problem = error.what();
  }
  link_writer(options.link).send({{"event", "refused"}, {"message", problem}});
  std::fprintf(stderr, "rtd-host: %s\n", problem.c_str());
  leave(layer_missing);
}

int run_host(const host_options& options) {
  // None of these is ever destroyed while the process lives: threads that are not joined use them.
  static link_writer link(options.link);
  // Before the filter, which hands over to it what is refused, or learned: the call that asks how many mappings a
  // process may have is among these. (Only there, too, the answer is to be had.)
  install_crash_handler(link);
  static host_service service(link, options.sandbox, confine(options));
  static log_drain drain(link, service.log(), service.tasks());
  wake_on_violation([](void* log) { static_cast<rt::detail::log_queue*>(log)->wake(); }, service.log().get());
  install_terminate_handler();
  rt::detail::kept_listeners::serve();
  report_exits_to(link);

  start_thread("rtd-link", [descriptor = options.link] {
    rt::os::own_thread counted;
    serve_link(descriptor, service, drain);
  }).detach();
  leave_termination_to_the_link();
  std::thread reporting = start_thread("rtd-log", [] {
    rt::os::own_thread counted;
    if (!drain.run()) leave(link_lost);
  });

  auto run_options = service.wait_for_configuration();
  int status = ended;
  if (run_options) {
    try {
      rt::run(
          [] {
            service.runtime_started("");
            service.wait_for_end();
            return 0;
          },
          *run_options);
    } catch (const std::exception& error) {
      service.runtime_started(std::string("the runtime cannot start: ") + error.what());
      status = start_failed;
    }
  }
  drain.stop();
  reporting.join();
  return status;
}

}  // namespace

}  // namespace rtd::host

int main(int count, char** arguments) {
  using namespace rtd::host;
  std::string problem;
  auto options = parse_options(count, arguments, problem);
  if (!options) {
    std::fprintf(stderr, "rtd-host: %s\n%s", problem.c_str(), help_text());
    return wrong_usage;
  }
  if (options->show_help || options->show_version) {
    std::printf(options->show_help ? "%s" : "rtd-host %s\n", options->show_help ? help_text() : rt::version());
    return 0;
  }
  if (options->reaper) rtd::sandbox::serve_as_reaper();
  if (!is_link(options->link)) {
    std::fprintf(stderr, "rtd-host: descriptor %d is no unix stream socket; rtd-host is started by rtd only\n",
                 options->link);
    return wrong_usage;
  }
  // A pipe would be buffered by blocks, and lines of plugins would come late or, after a crash, not at all.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  prepare_signals();
  name_thread("rtd-host");
  leave(run_host(*options));
}
