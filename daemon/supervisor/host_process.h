// One host process and the link to it: starting it, asking it, hearing it, killing it. What a host is for (plugins,
// tasks) is sandbox.h's concern; this file is the wall towards a process that may be hostile.
//
// Invariants:
//   1. Nothing that the host writes makes the supervisor hold more than a frame and its output limits, block, or throw.
//      A frame that is too large, no JSON, nested too deep, or no known message ends the host (reason "protocol").
//   2. Every request is answered exactly once, by the host, by its time-out, or by the host's end; but not any more
//      when the object is destroyed.
//   3. `ended` is called exactly once, after all the host's last words (crash report, output) have been handed on,
//      unless the object is destroyed before, which kills the host.
//   4. The time that goes into reading one host is bounded: a host whose words take more than `busy_share` of the loop
//      is not read for a while. It waits; the supervisor and the other hosts do not.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/protocol/framing.h"
#include "daemon/sandbox/launch.h"
#include "daemon/supervisor/host_message.h"
#include "daemon/supervisor/io/byte_stream.h"
#include "daemon/supervisor/io/readiness.h"
#include "daemon/supervisor/io/timer.h"
#include "daemon/supervisor/output_lines.h"
#include "daemon/supervisor/rate_limit.h"

namespace rtd::supervisor {

/// How and why a host ended.
struct host_end {
  std::string reason;  // exit, signal, oom, violation, watchdog, manual, config, protocol
  std::string detail;  // in words; may be empty
  int code = 0;        // exit status; meaningful when signal is empty
  std::string signal;  // "SIGSEGV", or empty
  std::chrono::system_clock::time_point at{};
  nlohmann::json crash = nullptr;  // the host's own crash report, checked, or null
  sandbox::group_counts counts{};  // of its control group, if it had one

  nlohmann::json to_json() const;
  /// "was ended by SIGSEGV", "exited with status 3", …
  std::string describe() const;
};

class host_process {
 public:
  struct callbacks {
    std::function<void(const nlohmann::json&)> event;             // an object with a string "event"
    std::function<void(bool is_error, std::string line)> output;  // a line of stdout or stderr, cleaned
    std::function<void(host_end)> ended;
  };
  using answer_handler = std::function<void(host_answer)>;

  /// The share of the loop's time that one host may take on average, and the seconds that it may take at once.
  static constexpr double busy_share = 0.2;
  static constexpr double busy_burst = 1.0;

  /// Starts the host. @throws sandbox::launch_error
  host_process(loop& on, const sandbox::launch_request& request, callbacks on_event);
  ~host_process();
  host_process(const host_process&) = delete;
  host_process& operator=(const host_process&) = delete;

  pid_t pid() const noexcept { return pid_; }
  clock::time_point started() const noexcept { return started_; }
  const std::vector<std::string>& layers() const noexcept { return layers_; }
  const std::vector<sandbox::missing_layer>& missing_layers() const noexcept { return missing_; }
  /// The folder of its control group, or empty.
  const std::string& group() const noexcept { return remains_.group; }
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

  /// Asks the host. `done` is called later, once.
  void request(std::string_view method, nlohmann::json params, std::chrono::nanoseconds timeout, answer_handler done,
               std::vector<sandbox::descriptor> with = {});

  /// Kills the host; its end will bear this reason. The first reason counts.
  void kill(std::string reason, std::string detail);
  /// Gives the end that is to come a reason without killing: the host was asked to end by itself.
  void expect_end(std::string reason, std::string detail);

  /// When the host last answered a request.
  clock::time_point last_answer() const noexcept { return last_answer_; }

 private:
  struct pending {
    answer_handler done;
    std::unique_ptr<timer> deadline;
  };

  void link_data(std::string_view bytes);
  void read_frames();
  void handle_frame(const std::string& frame);
  void handle_answer(host_message message);
  void handle_event(const nlohmann::json& message);
  void output_data(bool is_error, std::string_view bytes);
  void charge(clock::time_point began);
  void protocol_error(const std::string& what);
  void process_ended();
  void fail_pending(const std::string& kind, const std::string& message);

  loop& loop_;
  callbacks callbacks_;
  pid_t pid_ = -1;
  clock::time_point started_;
  clock::time_point last_answer_;
  sandbox::host_remains remains_;
  std::vector<std::string> layers_;
  std::vector<sandbox::missing_layer> missing_;
  std::vector<std::string> warnings_;
  std::unique_ptr<byte_stream> link_;
  std::unique_ptr<byte_stream> output_[2];
  output_lines output_lines_[2];
  std::unique_ptr<readiness> process_;
  protocol::frame_decoder frames_;
  std::map<std::uint64_t, pending> pending_;
  std::uint64_t next_id_ = 1;
  rate_limit reading_{busy_share, busy_burst};
  timer resume_;
  timer link_closed_;
  std::string reason_;
  std::string detail_;
  nlohmann::json crash_ = nullptr;
  bool broken_ = false;  // a protocol error was seen: nothing more is read from the link
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
