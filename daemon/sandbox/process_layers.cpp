#include "daemon/sandbox/process_layers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace rtd::sandbox {
namespace {

class parent_death_layer final : public layer {
 public:
  explicit parent_death_layer(pid_t parent) : parent_(parent) {}
  std::string_view name() const noexcept override { return "parent_death"; }
  int apply() const noexcept override {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    // Had the parent ended before the call above, no signal would ever come.
    return ::getppid() == parent_ ? 0 : ESRCH;
  }

 private:
  pid_t parent_;
};

class session_layer final : public layer {
 public:
  std::string_view name() const noexcept override { return "session"; }
  int apply() const noexcept override {
    if (::setsid() < 0) return errno;
    if (::chdir("/") != 0) return errno;
    ::umask(077);
    return 0;
  }
};

class signal_layer final : public layer {
 public:
  std::string_view name() const noexcept override { return "signals"; }
  int apply() const noexcept override {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    // The C library refuses its own signals, SIGKILL and SIGSTOP; those have their default action anyway.
    for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 ? 0 : errno;
  }
};

class descriptor_layer final : public layer {
 public:
  descriptor_layer(std::vector<int> keep, int report) : keep_(std::move(keep)), report_(report) {}
  std::string_view name() const noexcept override { return "descriptors"; }
  int apply() const noexcept override {
    const int count = static_cast<int>(keep_.size());
    for (int target = 0; target < count; ++target)
      if (::dup2(keep_[static_cast<std::size_t>(target)], target) < 0) return errno;
    if (::dup3(report_, count, O_CLOEXEC) < 0) return errno;
    return ::close_range(static_cast<unsigned>(count) + 1, ~0U, 0) == 0 ? 0 : errno;
  }

 private:
  std::vector<int> keep_;
  int report_;
};

struct named_limit {
  const char* name;
  __rlimit_resource resource;
  std::optional<rlim_t> resource_limits::*value;
};

constexpr std::array<named_limit, 4> known_limits{{
    {"open_files", RLIMIT_NOFILE, &resource_limits::open_files},
    {"processes", RLIMIT_NPROC, &resource_limits::processes},
    {"file_size", RLIMIT_FSIZE, &resource_limits::file_size},
    {"core", RLIMIT_CORE, &resource_limits::core},
}};

class rlimit_layer final : public layer {
 public:
  explicit rlimit_layer(const resource_limits& limits) : limits_(limits) {}
  std::string_view name() const noexcept override { return "rlimits"; }
  int apply() const noexcept override {
    for (const auto& known : known_limits) {
      const auto& wanted = limits_.*known.value;
      if (!wanted) continue;
      rlimit limit{*wanted, *wanted};
      if (::setrlimit(known.resource, &limit) == 0) continue;
      if (errno != EPERM || ::getrlimit(known.resource, &limit) != 0) return errno;
      limit.rlim_cur = limit.rlim_max;
      if (::setrlimit(known.resource, &limit) != 0) return errno;
    }
    return 0;
  }

 private:
  resource_limits limits_;
};

class no_new_privs_layer final : public layer {
 public:
  std::string_view name() const noexcept override { return "no_new_privs"; }
  int apply() const noexcept override { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno; }
};

}  // namespace

std::unique_ptr<const layer> make_parent_death_layer(pid_t parent) {
  return std::make_unique<parent_death_layer>(parent);
}

std::unique_ptr<const layer> make_session_layer() { return std::make_unique<session_layer>(); }

std::unique_ptr<const layer> make_signal_layer() { return std::make_unique<signal_layer>(); }

std::unique_ptr<const layer> make_descriptor_layer(std::vector<int> keep, int report) {
  return std::make_unique<descriptor_layer>(std::move(keep), report);
}

std::unique_ptr<const layer> make_rlimit_layer(const resource_limits& limits) {
  return std::make_unique<rlimit_layer>(limits);
}

std::unique_ptr<const layer> make_no_new_privs_layer() { return std::make_unique<no_new_privs_layer>(); }

std::vector<std::string> clamped_limits(pid_t pid, const resource_limits& limits) {
  std::vector<std::string> result;
  for (const auto& known : known_limits) {
    const auto& wanted = limits.*known.value;
    rlimit actual{};
    if (!wanted || ::prlimit(pid, known.resource, nullptr, &actual) != 0 || actual.rlim_max >= *wanted) continue;
    result.push_back(std::string("limit ") + known.name + " is " + std::to_string(actual.rlim_max) +
                     " instead of the configured " + std::to_string(*wanted) +
                     ": the supervisor itself has no more and may not raise it");
  }
  return result;
}

}  // namespace rtd::sandbox
