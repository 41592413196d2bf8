// Cron expressions, and when they come round.
//
// The first four bytes are the time that is asked from, in minutes since 1970; the rest is the expression.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "daemon/config/cron.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace rtd;
using fuzz::require;
using std::chrono::system_clock;

// 200 years: the system's clock counts nanoseconds, and ends after 292; the next time may be 60 years off.
constexpr std::uint32_t most_minutes = 60U * 24 * 366 * 200;

void check_fits(const config::cron& schedule, system_clock::time_point when) {
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::minutes>(when - day));
  require((schedule.minutes >> static_cast<unsigned>(time.minutes().count()) & 1U) != 0, "the minute fits");
  require((schedule.hours >> static_cast<unsigned>(time.hours().count()) & 1U) != 0, "the hour fits");
  const std::chrono::year_month_day date(day);
  require((schedule.months >> static_cast<unsigned>(date.month()) & 1U) != 0, "the month fits");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A zone whose clock goes forward and back, wherever this runs.
  static const bool zone_is_set = [] {
    ::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    ::tzset();
    return true;
  }();
  require(zone_is_set, "the zone is set");
  std::uint32_t minutes = 0;
  if (size < sizeof minutes) return 0;
  std::memcpy(&minutes, data, sizeof minutes);
  const system_clock::time_point from{std::chrono::minutes(minutes % most_minutes)};
  std::string why;
  const auto schedule = config::parse_cron(fuzz::text_of(data + sizeof minutes, size - sizeof minutes), &why);
  require(schedule.has_value() == why.empty(), "an expression is read, or there is a reason");
  if (!schedule) return 0;
  require(config::parse_cron(schedule->text, nullptr) == schedule, "an expression comes back as it was written");
  for (const auto zone : {config::time_zone::utc, config::time_zone::local}) {
    const auto next = config::next_time(*schedule, from, zone);
    if (!next) continue;
    require(*next > from, "the next time is later");
    if (zone == config::time_zone::utc) check_fits(*schedule, *next);
  }
  return 0;
}
