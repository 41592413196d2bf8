#include "daemon/config/task_order.h"

#include <algorithm>
#include <cstddef>

namespace rtd::config {
namespace {

std::vector<std::string> predecessors(const task& of) {
  std::vector<std::string> names = of.required;
  names.insert(names.end(), of.after.begin(), of.after.end());
  return names;
}

}  // namespace

// Tasks that wait for nobody are taken away, again and again (Kahn). Whoever is left waits for somebody that is left as
// well, so walking along the references must come back to where it was: a circle. Its tasks are taken away too, and so
// on. There is no recursion: a file may have a chain of many thousand tasks.
std::vector<std::vector<std::string>> cycles_of(const std::map<std::string, task>& tasks) {
  std::map<std::string, std::size_t> waits_for;  // how many, of those that are left
  std::map<std::string, std::vector<std::string>> waited_by;
  for (const auto& [name, spec] : tasks) {
    std::size_t& count = waits_for[name];
    for (const auto& other : predecessors(spec)) {
      if (!tasks.contains(other)) continue;
      ++count;
      waited_by[other].push_back(name);
    }
  }
  std::vector<std::string> free;
  const auto take_away = [&](const std::string& name) {
    waits_for.erase(name);
    for (const auto& other : waited_by[name])
      if (const auto found = waits_for.find(other); found != waits_for.end() && --found->second == 0)
        free.push_back(other);
  };
  for (const auto& [name, count] : waits_for)
    if (count == 0) free.push_back(name);

  std::vector<std::vector<std::string>> result;
  for (;;) {
    while (!free.empty()) {
      const std::string name = std::move(free.back());
      free.pop_back();
      if (waits_for.contains(name)) take_away(name);
    }
    if (waits_for.empty()) return result;
    std::vector<std::string> way{waits_for.begin()->first};
    std::map<std::string, std::size_t> seen{{way.front(), 0}};
    for (;;) {
      const auto names = predecessors(tasks.at(way.back()));
      const auto next = std::ranges::find_if(names, [&](const auto& one) { return waits_for.contains(one); });
      if (const auto known = seen.find(*next); known != seen.end()) {
        way.erase(way.begin(), way.begin() + static_cast<std::ptrdiff_t>(known->second));
        break;
      }
      seen[*next] = way.size();
      way.push_back(*next);
    }
    std::rotate(way.begin(), std::min_element(way.begin(), way.end()), way.end());
    for (const auto& name : way) take_away(name);
    result.push_back(std::move(way));
  }
}

}  // namespace rtd::config
