#include "daemon/config/cron.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace rtd::config {
namespace {

using std::chrono::days;
using std::chrono::system_clock;

constexpr std::size_t most_text_bytes = 512;
constexpr int most_years = 60;  // the 29th of February on given weekdays comes every 28 or 40 years
constexpr int minutes_of_day = 24 * 60;

struct field_rule {
  std::string_view name;
  int least;
  int most;
  std::span<const std::string_view> words = {};  // the first one means `least`
};

constexpr std::array<std::string_view, 12> month_words{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> weekday_words{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<field_rule, 5> rules{{{"minute", 0, 59},
                                           {"hour", 0, 23},
                                           {"day of month", 1, 31},
                                           {"month", 1, 12, month_words},
                                           {"day of week", 0, 7, weekday_words}}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> nicknames{{{"@yearly", "0 0 1 1 *"},
                                                                                  {"@annually", "0 0 1 1 *"},
                                                                                  {"@monthly", "0 0 1 * *"},
                                                                                  {"@weekly", "0 0 * * 0"},
                                                                                  {"@daily", "0 0 * * *"},
                                                                                  {"@midnight", "0 0 * * *"},
                                                                                  {"@hourly", "0 * * * *"}}};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::optional<int> read_number(std::string_view text) {
  int number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool good = read.ec == std::errc() && read.ptr == text.data() + text.size() && number >= 0;
  return good ? std::optional<int>(number) : std::nullopt;
}

/// Reads one field; throws std::invalid_argument with what is wrong.
class field_reader {
 public:
  explicit field_reader(const field_rule& rule) : rule_(rule) {}

  std::uint64_t read(std::string_view field) {
    for (;;) {
      const auto comma = field.find(',');
      read_part(field.substr(0, comma));
      if (comma == std::string_view::npos) return bits_;
      field.remove_prefix(comma + 1);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("the " + std::string(rule_.name) + " " + what);
  }

  int value(std::string_view text) const {
    const std::string word = lower(text);
    for (std::size_t i = 0; i < rule_.words.size(); ++i)
      if (word == rule_.words[i]) return rule_.least + static_cast<int>(i);
    const auto number = read_number(text);
    if (!number) fail(quoted(text) + (rule_.words.empty() ? " is no number" : " is no number and no name"));
    if (*number < rule_.least || *number > rule_.most)
      fail(quoted(text) + " is not from " + std::to_string(rule_.least) + " to " + std::to_string(rule_.most));
    return *number;
  }

  void read_part(std::string_view part) {
    if (part.empty()) fail("has an empty part");
    const auto slash = part.find('/');
    const std::string_view range = part.substr(0, slash);
    int step = 1;
    if (slash != std::string_view::npos) {
      const auto number = read_number(part.substr(slash + 1));
      if (!number || *number < 1 || *number > rule_.most)
        fail("has the step " + quoted(part.substr(slash + 1)) + ", not one from 1 to " + std::to_string(rule_.most));
      step = *number;
    }
    int first = rule_.least;
    int last = rule_.most;
    if (range != "*") {
      const auto dash = range.find('-');
      first = value(range.substr(0, dash));
      last = dash == std::string_view::npos ? first : value(range.substr(dash + 1));
      if (dash == std::string_view::npos && slash != std::string_view::npos)
        fail("has a step behind " + quoted(range) + ", which is no range: write " + std::string(range) + "-" +
             std::to_string(rule_.most) + std::string(part.substr(slash)));
      if (first > last) fail("has the range " + quoted(range) + ", which ends before it begins");
    }
    for (int i = first; i <= last; i += step) bits_ |= std::uint64_t{1} << static_cast<unsigned>(i);
  }

  const field_rule& rule_;
  std::uint64_t bits_ = 0;
};

bool has(std::uint64_t bits, int bit) { return (bits >> static_cast<unsigned>(bit) & 1U) != 0; }

bool fits_day(const cron& schedule, std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  if (!has(schedule.months, static_cast<int>(static_cast<unsigned>(date.month())))) return false;
  const bool by_date = has(schedule.days, static_cast<int>(static_cast<unsigned>(date.day())));
  const bool by_weekday = has(schedule.weekdays, static_cast<int>(std::chrono::weekday(day).c_encoding()));
  return schedule.both_days ? by_date && by_weekday : by_date || by_weekday;
}

bool fits_minute(const cron& schedule, int minute) {
  return has(schedule.hours, minute / 60) && has(schedule.minutes, minute % 60);
}

bool is_every_hour(const cron& schedule) { return schedule.hours == (1U << 24U) - 1; }

/// Minutes since 1970 as a clock on the wall shows them at `minute` of UTC.
std::int64_t wall_minute(std::int64_t minute) {
  const std::time_t seconds = static_cast<std::time_t>(minute * 60);
  std::tm local = {};
  ::localtime_r(&seconds, &local);
  return static_cast<std::int64_t>(::timegm(&local)) / 60;
}

/// The first fitting minute of UTC after `after` whose local date is `day` (days since 1970), or nothing.
std::optional<std::int64_t> next_local_minute(const cron& schedule, std::int64_t after, std::int64_t day) {
  // A day's minutes of UTC lie within the 15 hours (the furthest zone and a change) before and after those of its date.
  constexpr std::int64_t furthest = 15 * 60;
  const bool every_hour = is_every_hour(schedule);
  const auto fits = [&](std::int64_t wall) {
    return wall / minutes_of_day == day && fits_minute(schedule, static_cast<int>(wall % minutes_of_day));
  };
  std::int64_t minute = std::max(after + 1, day * minutes_of_day - furthest);
  std::int64_t before = wall_minute(minute - 1);
  for (; minute < (day + 1) * minutes_of_day + furthest; ++minute) {
    const std::int64_t wall = wall_minute(minute);
    const std::int64_t former = std::exchange(before, wall);
    if (every_hour) {
      if (fits(wall)) return minute;
      continue;
    }
    // The clock went forward: what it left out comes now.
    for (std::int64_t left_out = former + 1; left_out < wall; ++left_out)
      if (fits(left_out)) return minute;
    if (!fits(wall)) continue;
    // The clock went back (by half an hour or more): this has been.
    bool is_second = false;
    for (const int earlier : {30, 60, 120}) is_second = is_second || wall_minute(minute - earlier) == wall;
    if (!is_second) return minute;
  }
  return std::nullopt;
}

}  // namespace

std::optional<cron> parse_cron(std::string_view text, std::string* error) {
  const auto refuse = [&](std::string why) {
    if (error != nullptr) *error = std::move(why);
    return std::nullopt;
  };
  if (text.size() > most_text_bytes) return refuse("it is longer than 512 bytes");
  cron result;
  result.text = text;
  std::string_view rest = text;
  if (text.starts_with('@')) {
    const auto found =
        std::ranges::find(nicknames, lower(text), [](const auto& one) { return std::string(one.first); });
    if (found == nicknames.end())
      return refuse("there is no " + quoted(text) + "; there are @hourly, @daily, @weekly, @monthly and @yearly");
    rest = found->second;
  }
  std::vector<std::string_view> fields;
  while (!rest.empty()) {
    const auto begin = rest.find_first_not_of(" \t");
    if (begin == std::string_view::npos) break;
    rest.remove_prefix(begin);
    const auto end = rest.find_first_of(" \t");
    fields.push_back(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
  if (fields.size() != rules.size())
    return refuse("it has " + std::to_string(fields.size()) + (fields.size() == 1 ? " field" : " fields") +
                  ", not five: minute, hour, day of month, month, day of week");
  std::array<std::uint64_t, 5> bits{};
  try {
    for (std::size_t i = 0; i < rules.size(); ++i) bits[i] = field_reader(rules[i]).read(fields[i]);
  } catch (const std::invalid_argument& why) {
    return refuse(why.what());
  }
  result.minutes = bits[0];
  result.hours = static_cast<std::uint32_t>(bits[1]);
  result.days = static_cast<std::uint32_t>(bits[2]);
  result.months = static_cast<std::uint32_t>(bits[3]);
  result.weekdays = static_cast<std::uint32_t>((bits[4] | bits[4] >> 7U) & 0x7fU);
  result.both_days = fields[2].front() == '*' || fields[4].front() == '*';
  if (!next_time(result, system_clock::now(), time_zone::utc)) return refuse("it never comes: there is no such day");
  return result;
}

std::optional<system_clock::time_point> next_time(const cron& schedule, system_clock::time_point after,
                                                  time_zone zone) {
  const std::int64_t from = std::chrono::floor<std::chrono::minutes>(after).time_since_epoch().count();
  const bool local = zone == time_zone::local;
  const std::int64_t wall = local ? wall_minute(from) : from;
  const auto answer = [](std::int64_t minute) {
    return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(std::chrono::minutes(minute)));
  };
  const std::int64_t today = wall / minutes_of_day;
  // From yesterday: where the clock goes back at midnight, yesterday is not over yet.
  for (std::int64_t day = today - 1; day < today + most_years * 366; ++day) {
    if (!fits_day(schedule, std::chrono::sys_days(days(day)))) continue;
    if (local) {
      if (const auto minute = next_local_minute(schedule, from, day)) return answer(*minute);
      continue;
    }
    for (int minute = 0; minute < minutes_of_day; ++minute)
      if (day * minutes_of_day + minute > from && fits_minute(schedule, minute))
        return answer(day * minutes_of_day + minute);
  }
  return std::nullopt;
}

}  // namespace rtd::config
