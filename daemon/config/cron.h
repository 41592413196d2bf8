// Cron expressions: when a schedule comes round.
//
//   MINUTE HOUR DAY-OF-MONTH MONTH DAY-OF-WEEK      or @hourly @daily @weekly @monthly @yearly (@midnight, @annually)
//
// A field is a list of parts with commas; a part is `*`, a number, a name (jan … dec, sun … sat, in any case) or a
// range A-B, with /STEP behind `*` or a range. Sundays are 0 and 7. When days of the month and of the week are both
// given, either will do; when one of the fields begins with `*`, both must fit (as in Vixie's cron).
//
// Where local time jumps. Forward: what falls into the hour that is left out comes once, at the moment of the change.
// Back: what falls into the hour that comes twice comes in the first one only. Neither is so for expressions of every
// hour (`*` in the second field, or all of it): those go by time that passes, through the doubled hour too.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::config {

struct cron {
  std::uint64_t minutes = 0;   ///< bits 0 to 59
  std::uint32_t hours = 0;     ///< bits 0 to 23
  std::uint32_t days = 0;      ///< of the month, bits 1 to 31
  std::uint32_t months = 0;    ///< bits 1 to 12
  std::uint32_t weekdays = 0;  ///< bits 0 (Sunday) to 6
  bool both_days = true;       ///< one of the two fields for days begins with `*`
  std::string text;            ///< as it was written

  bool operator==(const cron&) const = default;
};

enum class time_zone : std::uint8_t { local, utc };

/// Reads an expression. `error` (may be null) gets what is wrong, naming the field.
std::optional<cron> parse_cron(std::string_view text, std::string* error);

/// The first time that fits after `after`, to the minute; nothing when none does within 60 years (the 30th of
/// February). Local time is the process's (TZ, else /etc/localtime). Does not block but for reading the zone's file the
/// first time.
std::optional<std::chrono::system_clock::time_point> next_time(const cron& schedule,
                                                               std::chrono::system_clock::time_point after,
                                                               time_zone zone);

}  // namespace rtd::config
