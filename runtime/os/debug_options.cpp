#include "runtime/os/debug_options.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "runtime/os/clock.h"

namespace rt::os {

namespace {

bool read_sched(std::string_view value, debug_options& into, std::string& remarks) {
  constexpr std::string_view kind = "random";
  if (value.substr(0, kind.size()) != kind) return false;
  value.remove_prefix(kind.size());
  if (value.empty()) {
    std::uint64_t seed = cycles() % 1'000'000'000;  // short enough to be typed
    into.shuffle_seed = seed;
    remarks += "RT_DEBUG: sched=random:" + std::to_string(seed) + " was chosen; give it to have this order again\n";
    return true;
  }
  if (value.front() != ':') return false;
  value.remove_prefix(1);
  std::uint64_t seed = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seed);
  if (error != std::errc() || end != value.data() + value.size()) return false;
  into.shuffle_seed = seed;
  return true;
}

// NAME or NAME=1 switches it on, NAME=0 off.
bool read_switch(std::string_view value, bool& into) {
  if (value != "" && value != "0" && value != "1") return false;
  into = value != "0";
  return true;
}

bool read_stress(std::string_view value, debug_options& into, std::string&) {
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), into.stress_every);
  if (error == std::errc() && end == value.data() + value.size()) return true;
  into.stress_every = 0;
  return false;
}

struct option {
  std::string_view name;
  std::string_view form;
  bool (*read)(std::string_view value, debug_options& into, std::string& remarks);  // false: the value is unfit
};

constexpr option known[] = {
    {"sched", "sched=random or sched=random:SEED, with a whole number below 2^64", read_sched},
    {"gccheckmark", "gccheckmark=1",
     [](auto value, auto& into, auto&) { return read_switch(value, into.check_marks); }},
    {"gccheckheap", "gccheckheap=1", [](auto value, auto& into, auto&) { return read_switch(value, into.check_heap); }},
    {"gcstoptheworld", "gcstoptheworld=1",
     [](auto value, auto& into, auto&) { return read_switch(value, into.stop_to_mark); }},
    {"gcpacertrace", "gcpacertrace=1",
     [](auto value, auto& into, auto&) { return read_switch(value, into.trace_pacer); }},
    {"gcpoison", "gcpoison=1", [](auto value, auto& into, auto&) { return read_switch(value, into.poison_dead); }},
    {"gcstress", "gcstress=N, a collection at every N-th allocation, with a whole number below 2^64", read_stress},
    {"gcverifybarrier", "gcverifybarrier=1",
     [](auto value, auto& into, auto&) { return read_switch(value, into.check_barrier); }},
    {"allocfreetrace", "allocfreetrace=1",
     [](auto value, auto& into, auto&) { return read_switch(value, into.trace_allocations); }},
    {"efence", "efence=1", [](auto value, auto& into, auto&) { return read_switch(value, into.no_reuse); }},
    {"gcverifyrefs", "gcverifyrefs=1",
     [](auto value, auto& into, auto&) { return read_switch(value, into.check_slots); }},
    {"gctrace", "gctrace=1", [](auto value, auto& into, auto&) { return read_switch(value, into.trace_cycles); }},
};

void read_one(std::string_view part, debug_options& into, std::string& remarks) {
  std::size_t equals = part.find('=');
  std::string_view name = part.substr(0, equals);
  std::string_view value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
  for (const option& one : known) {
    if (one.name != name) continue;
    if (!one.read(value, into, remarks)) {
      remarks += "RT_DEBUG: \"" + std::string(part) + "\" is ignored: give " + std::string(one.form) + "\n";
    }
    return;
  }
  remarks += "RT_DEBUG: \"" + std::string(name) + "\" is unknown and ignored; known are:";
  for (const option& one : known) remarks += " " + std::string(one.name);
  remarks += "\n";
}

}  // namespace

debug_options parse_debug_options(std::string_view text, std::string& remarks) {
  debug_options options;
  while (!text.empty()) {
    std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    if (!part.empty()) read_one(part, options, remarks);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return options;
}

debug_options read_debug_options() {
  const char* text = std::getenv("RT_DEBUG");
  if (text == nullptr) return {};
  std::string remarks;
  debug_options options = parse_debug_options(text, remarks);
  std::fputs(remarks.c_str(), stderr);
  return options;
}

}  // namespace rt::os
