// to_json and load undo each other, for configurations made at random.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/diff.h"

namespace rtd::config {
namespace {

class generator {
 public:
  explicit generator(std::uint64_t seed) : random_(seed) {}

  config make() {
    config result;
    result.control.socket = path();
    result.control.mode = 0600U | static_cast<std::uint32_t>(below(0200));
    result.control.max_connections = between(1, 4096);
    for (std::int64_t i = below(4); i > 0; --i) {
      result.control.roles.push_back({role(), coin(), static_cast<std::uint32_t>(1000 * i + below(1000)), ""});
    }
    if (coin()) result.control.roles.push_back({role(), false, 0, "root"});
    if (coin()) result.http.listen.reset();
    if (coin()) result.http.listen = endpoint{coin() ? "::1" : "10.1.2.3", static_cast<std::uint16_t>(below(65536))};
    result.log = {static_cast<log_level>(below(4)), static_cast<log_format>(below(4))};
    result.metrics.go_compat = coin();
    result.plugin_dir = path();
    if (coin()) result.host_binary = path();
    for (std::int64_t i = between(1, 4); i > 0; --i) result.plugins[name()].path = path();
    result.sandboxes.clear();
    for (std::int64_t i = between(1, 4); i > 0; --i) result.sandboxes[name()] = make_sandbox();
    for (std::int64_t i = below(5); i > 0; --i) {
      task made = make_task(result);
      // Of those that are there already: no circle can come of it.
      for (const auto& [other, spec] : result.tasks) {
        if (below(3) == 0) made.after.push_back(other);
        if (below(3) == 0) made.required.push_back(other);
      }
      result.tasks.emplace(name(), std::move(made));
    }
    return result;
  }

  std::int64_t below(std::int64_t end) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(end));
  }

 private:
  std::int64_t between(std::int64_t least, std::int64_t most) { return least + below(most - least + 1); }
  bool coin() { return below(2) == 0; }
  protocol::role role() { return static_cast<protocol::role>(between(1, 3)); }

  std::string word(std::string_view letters, std::int64_t least, std::int64_t most) {
    std::string result;
    for (std::int64_t i = between(least, most); i > 0; --i)
      result += letters[static_cast<std::size_t>(below(letters.size()))];
    return result;
  }
  std::string name() { return word("abcxyz", 1, 1) + word("abcxyz019_-", 0, 62); }
  std::string path() { return '/' + word("ab/c.d e", 1, 40) + (coin() ? "\u00fc" : "x"); }

  std::chrono::nanoseconds length(std::int64_t least_ms, std::int64_t most_ms) {
    // Few of them are round, so that all units come up.
    const std::int64_t milliseconds = between(least_ms, most_ms - 1);
    return std::chrono::milliseconds(milliseconds) + std::chrono::nanoseconds(coin() ? 0 : below(1'000'000));
  }

  restart_settings make_restart() {
    restart_settings result;
    result.policy = static_cast<restart_policy>(below(3));
    result.initial_delay = length(1, 60'000);
    result.max_delay = length(60'000, 86'400'000);
    // As many restarts as the window has room for.
    result.window = length(1'000, 2'592'000'000);
    result.max_restarts = below(result.window / result.max_delay + 1);
    result.stable_after = length(1, 86'400'000);
    return result;
  }

  schedule_settings make_schedule() {
    schedule_settings result;
    result.overlap = static_cast<overlap_policy>(below(2));
    if (coin()) {
      result.every = length(1'000, 86'400'000);
      return result;
    }
    result.when = parse_cron(std::to_string(below(60)) + " */" + std::to_string(between(1, 23)) + " * * *", nullptr);
    result.zone = static_cast<time_zone>(below(2));
    return result;
  }

  sandbox make_sandbox() {
    sandbox result;
    result.max_procs = below(257);
    result.stack_size = static_cast<std::uint64_t>(between(16384, 67108864));
    result.limits = {static_cast<std::uint64_t>(between(64, 1073741816)), static_cast<std::uint64_t>(below(4194305)),
                     random_() >> 4, random_() >> 4};
    if (coin()) result.limits.io_weight = static_cast<std::uint64_t>(below(10'001));
    if (coin()) result.limits.io_read = random_() >> 4;
    if (coin()) result.limits.io_write = random_() >> 4;
    result.gc.percent = coin() ? -1 : between(10, 1000);
    if (coin()) result.gc.memory_limit = static_cast<std::uint64_t>(between(16 << 20, 1 << 30));
    result.restart = make_restart();
    result.stop_timeout = length(0, 3'600'000);
    return result;
  }

  template <class Map>
  std::string one_of(const Map& entries) {
    return std::next(entries.begin(), below(static_cast<std::int64_t>(entries.size())))->first;
  }

  task make_task(const config& with) {
    task result;
    result.plugin = one_of(with.plugins);
    result.sandbox = one_of(with.sandboxes);
    result.entry = word("abcXYZ_", 1, 1) + word("abcXYZ_019", 0, 62);
    for (std::int64_t i = below(5); i > 0; --i) {
      std::vector<std::string>& values = result.params[word("abcXYZ_-.019", 1, 64)];
      for (std::int64_t k = below(4); k > 0; --k) values.push_back(word("ab\" \\/\n\t{}[]:,0123\x7f", 0, 30));
    }
    result.restart = make_restart();
    if (coin()) result.schedule = make_schedule();
    result.drain_timeout = length(0, 3'600'000);
    result.cancel_timeout = length(0, 3'600'000);
    result.autostart = coin();
    result.stop_timeout = length(0, 3'600'000);
    if (coin()) result.stack_size = static_cast<std::uint64_t>(between(16384, 67108864));
    if (coin()) result.listen.push_back("127.0.0.1:" + std::to_string(between(1, 65535)));
    if (coin()) result.listen.push_back("unix:/" + word("abc/-_.", 1, 106));
    result.start_on_connection = !result.listen.empty() && !result.schedule && coin();
    result.weight = between(1, 10'000);
    result.scheduling = static_cast<task_class>(below(3));
    result.on_deadlock = static_cast<deadlock_policy>(below(3));
    if (coin()) result.limits.heap_hard = static_cast<std::uint64_t>(between(1 << 20, 1 << 30));
    if (result.limits.heap_hard != 0 && coin()) result.limits.heap_soft = result.limits.heap_hard;
    if (coin()) result.limits.green_threads = below(100'000'001);
    if (coin()) result.limits.connections = below(10'000'001);
    if (coin()) result.limits.log_rate = between(1, 1'000'000);
    if (result.limits.log_rate != 0 && coin()) result.limits.log_burst = below(1'000'001);
    if (coin()) result.limits.cpus = static_cast<double>(between(1, 400'000)) / 100;
    return result;
  }

  std::mt19937_64 random_;
};

TEST(round_trip, GivesTheSameConfiguration) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    generator make(seed);
    config first = make.make();
    const load_result once = load_text(to_json(first).dump(seed % 2 == 0 ? -1 : 2), "/base");
    for (const problem& found : once.problems) ADD_FAILURE() << "seed " << seed << ": " << format(found, "f");
    ASSERT_TRUE(once.value);
    // Paths come back tidied up ("//", "/./"); everything else comes back as it was.
    const load_result twice = load_text(to_json(*once.value).dump(), "/other/base");
    ASSERT_TRUE(twice.value);
    ASSERT_EQ(*twice.value, *once.value) << "seed " << seed;
    ASSERT_TRUE(diff(*once.value, *twice.value).empty());
    first.control.socket = once.value->control.socket;
    first.plugin_dir = once.value->plugin_dir;
    first.host_binary = once.value->host_binary;
    for (auto& [name, plugin] : first.plugins) plugin.path = once.value->plugins.at(name).path;
    ASSERT_EQ(first, *once.value) << "seed " << seed;
  }
}

TEST(round_trip, NoTwoConfigurationsLookAlike) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const config a = generator(seed).make();
    const config b = generator(seed + 1).make();
    ASSERT_EQ(a == b, to_json(a) == to_json(b)) << "seed " << seed;
    ASSERT_TRUE(a == b || a.plugin_dir != b.plugin_dir || !diff(a, b).empty());
  }
}

}  // namespace
}  // namespace rtd::config
