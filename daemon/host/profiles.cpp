#include "daemon/host/profiles.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

#include "daemon/host/code_places.h"
#include "daemon/host/pprof_writer.h"
#include "daemon/protocol/gzip.h"

namespace rtd::host {

namespace {

constexpr std::string_view of_other_stacks = "[stacks beyond those that are told apart]";

// As a frame it is a return address; the call is before it.
std::uint64_t call_of(const void* frame) noexcept { return reinterpret_cast<std::uintptr_t>(frame) - 1; }

std::int64_t rounded(double value) noexcept { return std::llround(value); }

// The places of a profile's frames, told to a writer.
class stack_places {
 public:
  stack_places(pprof_writer& to, std::span<const std::uint64_t> addresses)
      : to_(to), places_(find_code_places(addresses)) {
    for (const code_module& one : places_.modules) {
      mappings_.push_back(to.add_mapping({one.start, one.limit, one.offset, one.file, one.build_id, true}));
    }
  }

  // Innermost first. As in Go, who allocates is told, and not what the runtime did for it, unless nobody else is there.
  std::vector<std::uint64_t> of(std::span<void* const> frames) {
    std::vector<std::uint64_t> found;
    if (frames.empty()) found.push_back(to_.location(0, 0, of_other_stacks));
    const auto first = std::find_if(frames.begin(), frames.end(),
                                    [&](void* one) { return !is_of_the_runtime(place_of(one).function); });
    for (void* one : std::span(first == frames.end() ? frames.begin() : first, frames.end())) {
      const code_places::place& place = place_of(one);
      const std::uint64_t mapping = place.module == code_places::no_module ? 0 : mappings_[place.module];
      found.push_back(to_.location(call_of(one), mapping, place.function));
    }
    return found;
  }

 private:
  const code_places::place& place_of(const void* frame) const { return places_.at.at(call_of(frame)); }

  pprof_writer& to_;
  const code_places places_;
  std::vector<std::uint64_t> mappings_;
};

std::string compressed(const std::string& profile) {
  auto file = protocol::gzip(profile);
  if (!file) throw std::bad_alloc();
  return std::move(*file);
}

std::vector<pprof_writer::label> labels_of(const profile_labels& all, std::string_view task) {
  std::vector<pprof_writer::label> found{{"sandbox", all.sandbox}};
  if (task.empty()) return found;
  found.push_back({"task", task});
  const auto owner =
      std::find_if(all.plugins.begin(), all.plugins.end(), [&](const auto& one) { return one.task == task; });
  if (owner != all.plugins.end()) found.push_back({"plugin", owner->plugin});
  return found;
}

}  // namespace

// What stands in brackets is looked over: arguments of templates may be the runtime's.
bool is_of_the_runtime(std::string_view function) noexcept {
  constexpr std::string_view nameless = "(anonymous namespace)";
  int depth = 0;
  bool begins_a_word = true;
  while (!function.empty()) {
    if (function.starts_with(nameless)) {
      function.remove_prefix(nameless.size());
      begins_a_word = false;
      continue;
    }
    if (depth == 0 && begins_a_word && function.starts_with("rt::")) return true;
    const char first = function.front();
    if (depth == 0 && first == '(') return false;  // the parameters
    if (first == '<') ++depth;
    if (first == '>') --depth;
    begins_a_word = first == ' ';
    function.remove_prefix(1);
  }
  return false;
}

std::string heap_profile_file(std::span<const rt::heap_record> records, std::string_view task, std::size_t rate,
                              const profile_labels& labels) {
  static constexpr pprof_writer::value_type values[] = {
      {"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}};
  pprof_writer profile(values, {"space", "bytes"}, static_cast<std::int64_t>(rate));
  std::vector<std::uint64_t> addresses;
  for (const rt::heap_record& one : records) {
    for (const void* frame : one.frames) addresses.push_back(call_of(frame));
  }
  stack_places places(profile, addresses);
  for (const rt::heap_record& one : records) {
    if (!task.empty() && one.task != task) continue;
    const std::int64_t figures[] = {rounded(one.allocated_objects), rounded(one.allocated_bytes),
                                    rounded(one.in_use_objects), rounded(one.in_use_bytes)};
    profile.add_sample(places.of(one.frames), figures, labels_of(labels, one.task));
  }
  return compressed(profile.finish(std::chrono::system_clock::now()));
}

}  // namespace rtd::host
