#include "daemon/sandbox/launch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "daemon/sandbox/environment.h"
#include "temporary_folder.h"

namespace rtd::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string read_all(const descriptor& from) {
  std::string text;
  char buffer[4096];
  pollfd waiting{from.get(), POLLIN, 0};
  while (::poll(&waiting, 1, 10'000) > 0) {
    const ssize_t got = ::read(from.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

process_end wait_end(const launched_host& host) {
  pollfd waiting{host.process.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 10'000), 1);
  return reap_host({host.pid, host.reaper, host.group});
}

// Runs a shell script as the "host" and returns what it printed.
std::string output_of(const std::string& script, launch_request request = {}) {
  request.program = "/bin/sh";
  request.arguments = {"-c", script};
  if (request.environment.empty()) request.environment = {"PATH=/usr/bin:/bin"};
  launched_host host = launch(request);
  const std::string text = read_all(host.standard_output);
  wait_end(host);
  return text;
}

TEST(launch, reports_its_layers_in_order) {
  launch_request request;
  request.program = "/bin/true";
  launched_host host = launch(request);
  EXPECT_THAT(host.layers, ElementsAre("parent_death", "session", "signals", "descriptors", "rlimits", "no_new_privs"));
  const process_end end = wait_end(host);
  EXPECT_FALSE(end.signalled);
  EXPECT_EQ(end.code, 0);
}

TEST(launch, the_host_has_four_descriptors_and_no_more) {
  // A descriptor without close-on-exec, as a careless library would leave it.
  const descriptor leaked(::open("/dev/null", O_RDONLY));
  const descriptor high(::fcntl(leaked.get(), F_DUPFD, 500));
  EXPECT_EQ(output_of("cd /proc/self/fd; for i in *; do [ -e $i ] && echo -n \"$i \"; done"), "0 1 2 3 ");
}

TEST(launch, the_link_works) {
  launch_request request;
  request.program = "/bin/sh";
  request.arguments = {"-c", "read line <&3; echo \"got $line, $*\" >&3", "host"};
  launched_host host = launch(request);
  ASSERT_EQ(::write(host.link.get(), "hello\n", 6), 6);
  EXPECT_EQ(read_all(host.link), "got hello, --link-fd 3\n");
  wait_end(host);
}

TEST(launch, environment_session_and_privileges) {
  ::setenv("RTD_UNIT_SECRET", "token", 1);
  launch_request request;
  request.environment = host_environment();
  const std::string text = output_of(
      "env; grep NoNewPrivs /proc/self/status; pwd; umask; "
      "awk '{print \"session\", $6 == $1}' /proc/$$/stat",
      request);
  EXPECT_THAT(text, testing::Not(HasSubstr("token")));
  EXPECT_THAT(text, HasSubstr("PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"));
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1\n/\n0077\nsession 1\n"));
}

TEST(launch, signals_are_as_for_a_new_process) {
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  const std::string text = output_of("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
  ::sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  EXPECT_THAT(text, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("SigIgn:\t0000000000000000"));
}

TEST(launch, limits_hold) {
  launch_request request;
  request.limits.open_files = 77;
  request.limits.core = 0;
  request.limits.file_size = 4096;
  EXPECT_EQ(output_of("ulimit -n; ulimit -c; ulimit -f", request), "77\n0\n8\n");
}

TEST(launch, a_failure_names_its_step) {
  launch_request request;
  request.program = "/nowhere/rtd-host";
  try {
    launch(request);
    FAIL();
  } catch (const launch_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("exec /nowhere/rtd-host: No such file"));
    EXPECT_THAT(error.what(), HasSubstr("host_binary"));
  }
  const test::temporary_folder folder;
  request.program = folder.file("not-executable");
  ::chmod(request.program.c_str(), 0644);
  try {
    launch(request);
    FAIL();
  } catch (const launch_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Permission denied"));
  }
}

TEST(launch, failures_leave_no_process_and_no_descriptor) {
  const auto open_files = [] {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count += entry.exists() || true;
    return count;
  };
  launch_request request;
  request.program = "/nowhere/rtd-host";
  const int before = open_files();
  for (int i = 0; i < 50; ++i) EXPECT_THROW(launch(request), launch_error);
  EXPECT_EQ(open_files(), before);
}

TEST(launch, an_end_by_signal_is_told) {
  launch_request request;
  request.program = "/bin/sh";
  request.arguments = {"-c", "kill -SEGV $$"};
  const process_end end = wait_end(launch(request));
  EXPECT_TRUE(end.signalled);
  EXPECT_EQ(end.code, SIGSEGV);
}

TEST(launch, what_the_host_forked_goes_with_it) {
  launch_request request;
  request.program = "/bin/sh";
  request.arguments = {"-c", "sleep 1000 & echo $!; wait"};
  launched_host host = launch(request);
  char buffer[32] = {};
  pollfd waiting{host.standard_output.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  ASSERT_GT(::read(host.standard_output.get(), buffer, sizeof buffer - 1), 0);
  const pid_t grandchild = std::atoi(buffer);
  ASSERT_GT(grandchild, 0);
  ::kill(host.pid, SIGKILL);
  wait_end(host);
  for (int i = 0; i < 500; ++i) {
    std::ifstream stat("/proc/" + std::string(buffer, std::strcspn(buffer, "\n")) + "/stat");
    std::string pid, name, state;
    if (!(stat >> pid >> name >> state) || state == "Z") return;
    ::usleep(10'000);
  }
  FAIL() << "the grandchild lives";
}

}  // namespace
}  // namespace rtd::sandbox
