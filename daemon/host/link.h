// The host's end of the link to the supervisor: frames out.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace rtd::host {

/// Writes frames, one at a time whoever writes. Only kernel threads of the host use it, never a green thread: a write
/// waits when the supervisor does not read.
class link_writer {
 public:
  explicit link_writer(int descriptor) noexcept : descriptor_(descriptor) {}
  link_writer(const link_writer&) = delete;
  link_writer& operator=(const link_writer&) = delete;

  /// Sends one message. Blocks. False when the link is closed. A message beyond the frame's limit is answered by
  /// std::length_error and nothing is sent.
  bool send(const nlohmann::json& message);
  /// As send, for whole frames, encoded by encode(). Gives way to every send() that waits: answers do not stand behind
  /// a flood of log lines.
  bool send_frames(std::string_view frames);
  /// Appends the message as a frame. @throws std::length_error
  static void encode(const nlohmann::json& message, std::string& to);

  /// For the crash handler: keeps all others from writing from now on, for ever. Waits up to `milliseconds` for a frame
  /// that is being written; false when it did not end, or the caller itself was writing it. Async-signal-safe.
  bool seize(int milliseconds) noexcept;
  /// Writes bytes after seize(), giving up after `milliseconds` in all. Async-signal-safe.
  bool write_seized(const char* bytes, std::size_t size, int milliseconds) noexcept;

 private:
  bool write(std::string_view bytes);

  int descriptor_;
  std::atomic<pid_t> owner_{0};  // the thread that writes; 0: nobody
  std::atomic<int> answers_{0};  // send() calls that write or wait
};

}  // namespace rtd::host
