#include "bench/common/program.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <optional>
#include <sstream>

namespace bench {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

#if defined(__OPTIMIZE__) && defined(NDEBUG)
constexpr bool optimized = true;
#else
constexpr bool optimized = false;
#endif

#if defined(__clang__)
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "g++ " __VERSION__;
#endif

struct row_name {
  std::string_view base;
  int procs;
};

// "yield_2p" is the row yield on two processors; "yield" leaves the choice to the row (0).
row_name split(std::string_view full) {
  std::size_t underscore = full.rfind('_');
  if (underscore != std::string_view::npos && full.size() > underscore + 2 && full.back() == 'p') {
    int procs = 0;
    const char* first = full.data() + underscore + 1;
    const char* last = full.data() + full.size() - 1;
    auto [end, error] = std::from_chars(first, last, procs);
    if (error == std::errc() && end == last && procs >= 1 && procs <= 256) return {full.substr(0, underscore), procs};
  }
  return {full, 0};
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return count;
}

double measure_seconds() {
  const char* text = std::getenv("BENCH_SECONDS");
  if (text == nullptr) return 0.4;
  char* end = nullptr;
  double seconds = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(seconds > 0 && seconds <= 60)) {
    std::fprintf(stderr, "BENCH_SECONDS=%s: not a number of seconds above 0 and up to 60\n", text);
    std::exit(2);
  }
  return seconds;
}

sample measure(const row& what, std::uint64_t count) {
  if (count == 0) count = what.fixed_count;
  if (count != 0) return what.work(count);
  const double wanted = measure_seconds();
  count = 1;
  bool warm = false;
  for (;;) {
    sample trial = what.work(count);
    if (warm && trial.seconds >= wanted / 2) return trial;
    warm = trial.seconds >= wanted / 10;
    // Grows by what the trial suggests, but at most hundredfold: a first operation is seldom like the later ones. From
    // a long enough trial it goes straight to the full count; that one counts unless it proves to be too short.
    double factor = trial.seconds > 0 ? (warm ? wanted : wanted / 5) / trial.seconds : 100;
    double next = static_cast<double>(trial.operations) * std::clamp(factor, warm ? 0.0 : 2.0, 100.0);
    count = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(next));
  }
}

void print_sample(std::string_view full_name, const row& what, int procs, const sample& found) {
  std::printf("{\"row\":\"%.*s\",\"unit\":\"%.*s\",\"value\":%.9g,\"count\":%llu,\"seconds\":%.6g,\"procs\":%d",
              static_cast<int>(full_name.size()), full_name.data(), static_cast<int>(what.unit.size()),
              what.unit.data(), found.value, static_cast<unsigned long long>(found.operations), found.seconds, procs);
  for (const auto& [key, value] : found.details) std::printf(",\"%s\":%.9g", key.c_str(), value);
  std::printf("}\n");
  std::fflush(stdout);
}

int usage(const program& what) {
  const char* name = what.name.c_str();
  std::fprintf(stderr, "usage: %s --version\n", name);
  if (what.serve_echo != nullptr) {
    std::fprintf(stderr, "       %s echo_server PORT   (PORT 0: any free one)\n", name);
  }
  if (!what.rows.empty()) {
    std::fprintf(stderr, "       %s ROW COUNT   (COUNT 0: as many as fill BENCH_SECONDS)\n", name);
    std::fprintf(stderr, "rows, each also with _1p or _2p for its processors:");
    for (const row& one : what.rows) std::fprintf(stderr, " %s", std::string(one.name).c_str());
    std::fprintf(stderr, "\n");
  }
  return 2;
}

}  // namespace

int main_of(const program& what, int argument_count, char** arguments) {
  if (argument_count == 2 && std::strcmp(arguments[1], "--version") == 0) {
    std::printf("{\"version\":\"%s\",\"compiler\":\"%s\",\"optimized\":%s,\"sanitized\":%s}\n", what.version.c_str(),
                compiler, optimized ? "true" : "false", sanitized ? "true" : "false");
    return 0;
  }
  if (argument_count != 3) return usage(what);
  std::string_view full_name = arguments[1];
  std::optional<std::uint64_t> count = parse_count(arguments[2]);
  if (!count) {
    std::fprintf(stderr, "%s: '%s' is not a count (a whole number, 0 to let the program choose)\n", what.name.c_str(),
                 arguments[2]);
    return usage(what);
  }
  raise_descriptor_limit();
  try {
    if (full_name == "echo_server" && what.serve_echo != nullptr) {
      if (*count > 65535) {
        std::fprintf(stderr, "%s: '%s' is not a port (0 to 65535)\n", what.name.c_str(), arguments[2]);
        return 2;
      }
      what.serve_echo(static_cast<int>(*count));
      return 0;
    }
    row_name name = split(full_name);
    auto found =
        std::find_if(what.rows.begin(), what.rows.end(), [&](const row& one) { return one.name == name.base; });
    if (found == what.rows.end()) {
      std::fprintf(stderr, "%s: no row '%s'\n", what.name.c_str(), arguments[1]);
      return usage(what);
    }
    const int procs = name.procs != 0 ? name.procs : found->procs;
    sample result;
    what.inside(procs, [&] { result = measure(*found, *count); });
    print_sample(full_name, *found, procs, result);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s %s: %s\n", what.name.c_str(), arguments[1], failure.what());
    return 1;
  }
  return 0;
}

std::int64_t now_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

sample per_operation(std::uint64_t operations, std::int64_t nanoseconds) {
  return {operations, static_cast<double>(nanoseconds) / 1e9,
          static_cast<double>(nanoseconds) / static_cast<double>(operations)};
}

void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "wrong result: %.*s\n", static_cast<int>(what.size()), what.data());
  std::_Exit(1);
}

std::int64_t quantile(std::vector<std::int64_t>& values, double share) {
  require(!values.empty(), "no values to take a quantile of");
  std::sort(values.begin(), values.end());
  const auto index = static_cast<std::size_t>(std::lround(share * static_cast<double>(values.size() - 1)));
  return values[index];
}

memory_use read_memory_use() {
  memory_use found;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    double kibibytes = 0;
    words >> key >> kibibytes;
    if (key == "VmRSS:") found.resident = kibibytes * 1024;
    if (key == "VmPTE:") found.page_tables = kibibytes * 1024;
  }
  require(found.resident > 0, "/proc/self/status has no VmRSS line; is /proc mounted?");
  return found;
}

int usable_cpus() noexcept {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void announce_port(int port) {
  std::printf("{\"listening\":%d}\n", port);
  std::fflush(stdout);
}

void wait_for_end_of_input() noexcept {
  char buffer[256];
  for (;;) {
    ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count == 0 || (count < 0 && errno != EINTR)) return;
  }
}

}  // namespace bench
