#include "daemon/host/dump.h"

#include <set>

#include "rt/runtime.h"

namespace rtd::host {

namespace {

constexpr std::size_t most_bytes = 4U << 20U;
constexpr std::string_view header = "goroutine ";

// The number in a header line, "goroutine 7 [sleep]:".
std::uint64_t id_of(std::string_view line) {
  std::uint64_t id = 0;
  line.remove_prefix(header.size());
  for (char digit : line) {
    if (digit < '0' || digit > '9') break;
    id = id * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  return id;
}

}  // namespace

std::string dump_stacks(std::size_t limit, std::string_view task) {
  std::set<std::uint64_t> wanted;
  if (!task.empty()) {
    for (const rt::green_thread_info& one : rt::all_green_threads()) {
      if (one.task == task) wanted.insert(one.id);
    }
  }
  std::string all = rt::all_stacks(task.empty() ? limit : SIZE_MAX);
  std::string text;
  std::string_view rest = all;
  std::size_t shown = 0;
  std::size_t left_out = 0;
  while (!rest.empty()) {
    // One green thread's part ends at an empty line.
    std::size_t end = rest.find("\n\n");
    std::string_view part = rest.substr(0, end == std::string_view::npos ? rest.size() : end + 2);
    rest.remove_prefix(part.size());
    if (!part.starts_with(header)) continue;
    if (!task.empty() && !wanted.contains(id_of(part))) continue;
    if (shown >= limit || text.size() + part.size() > most_bytes) {
      ++left_out;
      continue;
    }
    text += part;
    ++shown;
  }
  if (task.empty() && shown >= limit) {
    std::size_t total = rt::num_green_threads();
    left_out = total > shown ? total - shown : 0;
  }
  if (left_out > 0) text += std::to_string(left_out) + " more green threads are not shown\n";
  return text;
}

}  // namespace rtd::host
