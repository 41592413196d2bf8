// Where the log goes: standard error as text or JSON lines, or the journal with fields.
//
// Writing happens on a thread of spdlog's, behind a bounded queue: a full pipe, a stopped terminal or a slow journal
// never stops the supervisor's loop. When the queue is full its oldest lines are lost, and counted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/supervisor/log_record.h"

namespace rtd::supervisor {

enum class log_format : std::uint8_t { text, json, journal };

/// What "auto" means here: the journal when JOURNAL_STREAM says that standard error is connected to it, else text.
log_format detect_log_format();

class log_writer {
 public:
  virtual ~log_writer() = default;
  virtual void write(const log_record& record) = 0;
  /// Lines lost because the outside did not take them, since the start.
  virtual std::uint64_t lost() const = 0;
};

/// Writes to standard error or the journal. At most one such writer may exist at a time.
std::unique_ptr<log_writer> make_log_writer(log_format format);

/// Forgets every line: for `--check-config` and for tests.
std::unique_ptr<log_writer> make_null_writer();

}  // namespace rtd::supervisor
