#include "daemon/host/heap_why.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "daemon/host/hexadecimal.h"
#include "daemon/host/request_error.h"
#include "rt/gc_stats.h"
#include "runtime/gc/reference_path.h"

namespace rtd::host {

using nlohmann::json;
using rt::detail::reference_path;

namespace {

// What a search may take: 64 MiB, and not more than a sixteenth of the memory limit, of which a tenth is kept free.
constexpr std::size_t most_search_bytes = std::size_t{64} << 20;
constexpr std::uint64_t part_of_limit = 16;
// Of a long path, so many steps at each of its ends are told.
constexpr std::size_t steps_at_ends = 50;

struct named_owner {
  const rt::detail::heap_owner* owner;
  std::string task;
};

json object_json(const rt::detail::path_step& step, const std::vector<named_owner>& owners) {
  const auto found =
      std::find_if(owners.begin(), owners.end(), [&](const named_owner& one) { return one.owner == step.owner; });
  return {{"address", hexadecimal(step.object)},
          {"size", step.size},
          {"offset", step.offset},
          {"task", found == owners.end() ? "" : found->task}};
}

std::string problem_of(const reference_path& path, const std::string& address) {
  switch (path.result) {
    case reference_path::outcome::found:
      return {};
    case reference_path::outcome::no_object:
      return "there is no object at 0x" + address + ": it is " +
             (path.what_is_there == nullptr ? "no address of the collected heap" : path.what_is_there);
    case reference_path::outcome::unreachable:
      return "nothing refers to the object at 0x" + address + ": this collection frees it";
    case reference_path::outcome::too_large:
      return "the heap is too large for the search: it gave up after " + std::to_string(path.looked_at) +
             " objects, which take what memory it may";
    case reference_path::outcome::not_made:
      return "another search is under way, or the host is ending; try again";
  }
  return {};
}

}  // namespace

json explain_object(const std::string& address, const task_table& tasks) {
  std::uintptr_t number = 0;
  const auto [end, error] = std::from_chars(address.data(), address.data() + address.size(), number, 16);
  if (error != std::errc() || end != address.data() + address.size()) {
    throw request_error("bad_request", "parameter \"address\" must be hexadecimal digits");
  }
  const std::uint64_t limit = rt::read_gc_stats().memory_limit;
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(most_search_bytes, limit / part_of_limit));
  const reference_path path = rt::detail::find_reference_path(number, most);
  if (std::string problem = problem_of(path, address); !problem.empty()) return {{"problem", std::move(problem)}};

  std::vector<named_owner> owners;
  for (const auto& task : tasks.list()) {
    if (const auto* owner = task->heap().get(); owner != nullptr) owners.push_back({owner, task->identity().id});
  }
  json steps = json::array();
  std::size_t left_out = 0;
  for (std::size_t i = 0; i < path.steps.size(); ++i) {
    if (i >= steps_at_ends && path.steps.size() - i > steps_at_ends) {
      ++left_out;
    } else {
      steps.push_back(object_json(path.steps[i], owners));
    }
  }
  return {{"object", object_json(path.object, owners)},
          {"root",
           {{"kind", rt::detail::to_text(path.root)},
            {"address", hexadecimal(path.root_word)},
            {"green_thread", path.green_thread},
            {"place", path.place}}},
          {"steps", std::move(steps)},
          {"steps_left_out", left_out},
          {"objects_looked_at", path.looked_at}};
}

}  // namespace rtd::host
