#include "daemon/metrics/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <sstream>
#include <string_view>
#include <vector>

namespace rtd::metrics {

namespace {

// Files of /proc give their whole text in a few reads; their size is not known before.
std::string read_text(const std::string& path) {
  std::string text;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return text;
  char buffer[4096];
  for (ssize_t size = 0; (size = ::read(descriptor, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<std::size_t>(size));
  }
  ::close(descriptor);
  return text;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(" \n"));
    words.push_back(word);
    text.remove_prefix(word.size());
  }
}

// The soft limit of a line of /proc/<pid>/limits; nothing when it is unlimited or absent.
std::optional<std::uint64_t> soft_limit(const std::string& limits, std::string_view name) {
  std::istringstream lines(limits);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const std::vector<std::string_view> words = split(std::string_view(line).substr(name.size()));
    if (!words.empty()) return to_number(words[0]);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> count_open_files(const std::string& folder) {
  // Since Linux 6.2 the folder's size is the count; reading a folder of 100 000 entries would take a while.
  struct stat about {};
  if (::stat(folder.c_str(), &about) != 0) return std::nullopt;
  if (about.st_size > 0) return static_cast<std::uint64_t>(about.st_size);
  DIR* const directory = ::opendir(folder.c_str());
  if (directory == nullptr) return std::nullopt;
  std::uint64_t count = 0;
  while (const dirent* const entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(directory);
  return count;
}

// Unix time of the machine's start. Read each time: it moves when the clock is set, as the start times in it do.
double boot_time() {
  std::istringstream lines(read_text("/proc/stat"));
  constexpr std::string_view name = "btime ";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    return static_cast<double>(to_number(std::string_view(line).substr(name.size())).value_or(0));
  }
  return 0;
}

std::optional<process_figures> read_folder(const std::string& folder, bool is_self) {
  std::optional<process_figures> figures = parse_process(read_text(folder + "/stat"), read_text(folder + "/limits"),
                                                         boot_time(), ::sysconf(_SC_CLK_TCK), ::sysconf(_SC_PAGESIZE));
  if (!figures) return std::nullopt;
  figures->open_files = count_open_files(folder + "/fd");
  // Where the folder had to be read, its own descriptor was among the entries.
  struct stat about {};
  if (is_self && figures->open_files && ::stat((folder + "/fd").c_str(), &about) == 0 && about.st_size == 0) {
    --*figures->open_files;
  }
  return figures;
}

}  // namespace

std::optional<process_figures> parse_process(const std::string& stat, const std::string& limits, double boot_time,
                                             long ticks, long page_size) {
  // The name stands in parentheses and may contain any character, parentheses too: the fields begin after the last one.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || ticks <= 0) return std::nullopt;
  const std::vector<std::string_view> words = split(std::string_view(stat).substr(name_end + 1));
  // proc(5) numbers the fields from 1; the state, field 3, is words[0].
  constexpr std::size_t user = 14 - 3, system = 15 - 3, threads = 20 - 3, start = 22 - 3, size = 23 - 3,
                        resident = 24 - 3;
  if (words.size() <= resident) return std::nullopt;
  for (const std::size_t field : {user, system, threads, start, size, resident}) {
    if (!to_number(words[field])) return std::nullopt;
  }
  const auto seconds = [&](std::size_t field) {
    return static_cast<double>(*to_number(words[field])) / static_cast<double>(ticks);
  };
  process_figures figures;
  figures.user_seconds = seconds(user);
  figures.system_seconds = seconds(system);
  figures.threads = *to_number(words[threads]);
  figures.resident_bytes = *to_number(words[resident]) * static_cast<std::uint64_t>(page_size);
  figures.virtual_bytes = *to_number(words[size]);
  figures.start_time_seconds = boot_time + seconds(start);
  figures.max_files = soft_limit(limits, "Max open files");
  figures.max_virtual_bytes = soft_limit(limits, "Max address space");
  return figures;
}

std::optional<process_figures> read_process(pid_t pid) {
  return read_folder("/proc/" + std::to_string(pid), pid == ::getpid());
}

std::optional<process_figures> read_self() { return read_folder("/proc/self", true); }

}  // namespace rtd::metrics
