#include "daemon/config/schedule_section.h"

#include <array>

#include "daemon/config/text.h"

namespace rtd::config {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds least_interval = 1s;
constexpr std::chrono::nanoseconds most_interval = 365 * 24h;
constexpr std::size_t most_cron_bytes = 512;

// In the order of the enumerators.
constexpr std::array<std::string_view, 2> zones{"local", "UTC"};
constexpr std::array<std::string_view, 2> overlaps{"skip", "queue"};

}  // namespace

std::string_view to_string(time_zone value) noexcept { return zones[static_cast<std::size_t>(value)]; }
std::string_view to_string(overlap_policy value) noexcept { return overlaps[static_cast<std::size_t>(value)]; }

void read_schedule(const value& from, std::optional<schedule_settings>& to) {
  if (from.json().kind == node_kind::null) return;
  object_reader object(from);
  schedule_settings read;
  const auto expression = object.find("cron");
  const auto every = object.find("every");
  if (expression) {
    std::string text;
    std::string why;
    if (expression->read_string(text, most_cron_bytes)) {
      read.when = parse_cron(text, &why);
      if (!read.when)
        expression->complain(in_quotes(text) + " is no cron expression: " + why,
                             "write five fields such as \"30 6 * * mon-fri\", or one of @hourly, @daily, @weekly, "
                             "@monthly, @yearly");
    }
  }
  if (every) every->read_duration(read.every, least_interval, most_interval);
  if (from.json().kind == node_kind::object && expression.has_value() == every.has_value())
    from.complain(expression ? "the schedule has both \"cron\" and \"every\"" : "the schedule says no time",
                  R"(give one of "cron", such as "@hourly", and "every", such as "15m")");
  std::size_t word = 0;
  if (const auto zone = object.find("time_zone"); zone && zone->read_word(word, zones)) {
    read.zone = static_cast<time_zone>(word);
    if (every && !expression) zone->complain("an interval has no time zone", "remove \"time_zone\"");
  }
  if (const auto overlap = object.find("overlap"); overlap && overlap->read_word(word, overlaps))
    read.overlap = static_cast<overlap_policy>(word);
  object.refuse_unknown_keys();
  to = std::move(read);
}

}  // namespace rtd::config
