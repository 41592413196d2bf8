#include "daemon/supervisor/log_writer.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

namespace rtd::supervisor {
namespace {

constexpr std::size_t queue_lines = 8192;

void write_line(std::string_view text) {
  const std::string line = std::string(text) + '\n';
  for (std::size_t at = 0; at < line.size();) {
    const ssize_t put = ::write(STDERR_FILENO, line.data() + at, line.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;  // closed, or a full disk: there is nobody left to tell
    at += static_cast<std::size_t>(put);
  }
}

// Lines to standard error, each in one write as far as the kernel takes it whole. Not spdlog's own sink: that one goes
// through stdio and gives up a line on EINTR or a full pipe.
class standard_error_sink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    write_line({message.payload.data(), message.payload.size()});
  }
  void flush_() override {}
};

// The payload is a block of "NAME=value" lines; values hold no newline because records are cleaned. Where there is no
// journal the block goes to standard error, which is better than nowhere.
class journal_sink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view block(message.payload.data(), message.payload.size());
    std::vector<iovec> fields;
    while (!block.empty()) {
      const std::size_t end = std::min(block.find('\n'), block.size());
      fields.push_back({const_cast<char*>(block.data()), end});
      block.remove_prefix(std::min(end + 1, block.size()));
    }
    if (::sd_journal_sendv(fields.data(), static_cast<int>(fields.size())) < 0)
      write_line({message.payload.data(), message.payload.size()});
  }
  void flush_() override {}
};

class asynchronous_writer final : public log_writer {
 public:
  explicit asynchronous_writer(log_format format)
      : format_(format), pool_(std::make_shared<spdlog::details::thread_pool>(queue_lines, 1)) {
    spdlog::sink_ptr sink;
    if (format == log_format::journal)
      sink = std::make_shared<journal_sink>();
    else
      sink = std::make_shared<standard_error_sink>();
    logger_ = std::make_shared<spdlog::async_logger>("rtd", std::move(sink), pool_,
                                                     spdlog::async_overflow_policy::overrun_oldest);
    logger_->set_level(spdlog::level::trace);
  }

  void write(const log_record& record) override {
    const std::string line = format_ == log_format::json      ? format_json(record)
                             : format_ == log_format::journal ? format_journal(record)
                                                              : format_text(record);
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

  std::uint64_t lost() const override { return pool_->overrun_counter(); }

 private:
  log_format format_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

class null_writer final : public log_writer {
 public:
  void write(const log_record&) override {}
  std::uint64_t lost() const override { return 0; }
};

}  // namespace

log_format detect_log_format() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  unsigned long long device = 0, inode = 0;
  struct stat actual {};
  if (stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
      ::fstat(STDERR_FILENO, &actual) == 0 && actual.st_dev == device && actual.st_ino == inode)
    return log_format::journal;
  return log_format::text;
}

std::unique_ptr<log_writer> make_log_writer(log_format format) { return std::make_unique<asynchronous_writer>(format); }

std::unique_ptr<log_writer> make_null_writer() { return std::make_unique<null_writer>(); }

}  // namespace rtd::supervisor
