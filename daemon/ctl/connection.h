// A unix stream socket that carries lines, with a time limit on every step.
#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/protocol/framing.h"

namespace rtd::ctl {

/// When to give up; nothing: never.
using deadline = std::optional<std::chrono::steady_clock::time_point>;

/// The moment `seconds` from now; nothing when `seconds` is 0, which means no limit.
deadline deadline_in(double seconds);

/// The longest answer that is accepted, in bytes. More than rtd sends: it only guards against a peer that is not rtd.
inline constexpr std::size_t max_answer_bytes = std::size_t{16} << 20U;

/// A wait was given up because the user wants the command to end.
class interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

class connection {
 public:
  /// Connects to the socket at `path`.
  /// @throws command_error unreachable (nothing there), permission_denied, timed_out
  static connection open(const std::string& path, deadline limit);

  /// Takes over a connected socket; `name` is what error messages call it.
  connection(int descriptor, std::string name);
  ~connection();
  connection(connection&& other) noexcept;
  connection& operator=(connection&& other) noexcept;

  /// Sends `line` and a newline. @throws command_error unreachable, timed_out
  void write_line(std::string_view line, deadline limit);

  /// The next line, without its newline. Blocks until it is there.
  /// @throws command_error unreachable (the peer has closed, or sends no lines), timed_out
  std::string read_line(deadline limit);

  /// From now on every wait ends by rtd::ctl::interrupted once `descriptor` is readable.
  void interrupt_by(int descriptor) noexcept { interrupt_ = descriptor; }

  const std::string& name() const noexcept { return name_; }

 private:
  void wait_for(short events, deadline limit) const;

  int descriptor_;
  int interrupt_ = -1;
  std::string name_;
  protocol::line_decoder decoder_{max_answer_bytes};
};

}  // namespace rtd::ctl
