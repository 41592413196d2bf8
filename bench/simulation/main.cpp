// bench_simulation: how the scheduler would fare on machines of other sizes, by the model of model.h.
//
// usage: bench_simulation WORKLOAD CORES [--waking N] [--near-first] [NAME=NANOSECONDS …]
//        bench_simulation costs
// The first prints one line of JSON: what happened. --waking, --near-first: see policy in model.h; NAME=NANOSECONDS
// sets one of the costs. The second prints all costs by their names, as they are
// assumed and as they are measured on this machine.
#include <charconv>
#include <cstdio>
#include <string_view>

#include "bench/simulation/workloads.h"

namespace {

using namespace bench_simulation;

// One seed: the same arguments give the same figures.
constexpr std::uint64_t seed = 20'110'915;

struct named_cost {
  std::string_view name;
  double costs::*value;
};
constexpr named_cost all_costs[] = {{"decision", &costs::decision},
                                    {"spawn", &costs::spawn},
                                    {"end", &costs::end},
                                    {"wake", &costs::wake},
                                    {"clock", &costs::clock},
                                    {"look", &costs::look},
                                    {"poll", &costs::poll},
                                    {"global_each", &costs::global_each},
                                    {"locked", &costs::locked},
                                    {"futex_wake", &costs::futex_wake},
                                    {"wake_latency", &costs::wake_latency},
                                    {"same_group", &costs::same_group},
                                    {"same_socket", &costs::same_socket},
                                    {"other_socket", &costs::other_socket}};

int usage() {
  std::fprintf(stderr,
               "usage: bench_simulation WORKLOAD CORES [--waking N] [--near-first] [NAME=NANOSECONDS ...]\n"
               "       bench_simulation costs\nworkloads:");
  for (std::string_view name : workload_names) std::fprintf(stderr, " %s", name.data());
  std::fprintf(stderr, "; cores: 1 to %d; costs:", most_cores);
  for (const named_cost& one : all_costs) std::fprintf(stderr, " %s", one.name.data());
  std::fprintf(stderr, "\n");
  return 2;
}

template <class Number>
bool parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// "locked=4.5"
bool set_cost(costs& price, std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return false;
  for (const named_cost& one : all_costs) {
    double value = 0;
    if (one.name != text.substr(0, equals) || !parse(text.substr(equals + 1), value) || value < 0) continue;
    price.*one.value = value;
    return true;
  }
  return false;
}

void print_costs(const char* title, const costs& price) {
  std::printf("\"%s\":", title);
  const char* separator = "{";
  for (const named_cost& one : all_costs) {
    std::printf("%s\"%s\":%.4g", separator, one.name.data(), price.*one.value);
    separator = ",";
  }
  std::printf("}");
}

int print_costs() {
  std::printf("{");
  print_costs("assumed", costs{});
  std::printf(",");
  print_costs("measured", measure_costs());
  std::printf("}\n");
  return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count == 2 && std::string_view(arguments[1]) == "costs") return print_costs();
  if (argument_count < 3) return usage();
  const std::string_view name = arguments[1];
  int cores = 0;
  if (!parse(arguments[2], cores) || cores < 1 || cores > most_cores || !is_workload(name)) return usage();
  costs price;
  policy rules;
  for (int i = 3; i < argument_count; ++i) {
    const std::string_view option = arguments[i];
    if (option == "--near-first") {
      rules.near_first = true;
    } else if (option == "--waking" && i + 1 < argument_count && parse(arguments[i + 1], rules.waking)) {
      ++i;
    } else if (!set_cost(price, option)) {
      return usage();
    }
  }
  const run_result found = simulate(name, cores, price, seed, rules);
  const outcome& counted = found.counted;
  std::printf(
      "{\"workload\":\"%s\",\"cores\":%d,\"time_us\":%.6g,\"utilisation\":%.4g,\"spread_us\":%.6g,\"cores_used\":%d,"
      "\"created\":%llu,\"ended\":%llu,\"decisions\":%llu,\"steals\":%llu,\"failed_steals\":%llu,\"wakes\":%llu,"
      "\"lock_holds\":%llu,\"lock_wait_us\":%.6g",
      arguments[1], cores, counted.time / 1e3, found.utilisation, counted.spread / 1e3, counted.cores_used,
      static_cast<unsigned long long>(counted.created), static_cast<unsigned long long>(counted.ended),
      static_cast<unsigned long long>(counted.decisions), static_cast<unsigned long long>(counted.steals),
      static_cast<unsigned long long>(counted.failed_steals), static_cast<unsigned long long>(counted.wakes),
      static_cast<unsigned long long>(counted.lock_holds), counted.lock_wait / 1e3);
  for (const auto& [key, value] : found.details) std::printf(",\"%s\":%.6g", key.c_str(), value);
  std::printf("}\n");
  return 0;
}
