// The terminal while a command redraws it: the alternate screen, keys without Enter, signals as events.
#pragma once

#include <termios.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <string_view>

namespace rtd::ctl {

class live_screen {
 public:
  enum class event { time, key, resized, quit_signal };

  /// Takes the terminal at standard output over. Until it ends, signals that end or stop the process are events.
  live_screen();
  ~live_screen();
  live_screen(const live_screen&) = delete;
  live_screen& operator=(const live_screen&) = delete;

  /// Shows `text`, which fits into rows() lines of columns().
  void draw(std::string_view text);

  /// Waits for something to happen, until `until` at most. A request to stop (^Z) is carried out within.
  event wait(std::chrono::steady_clock::time_point until);

  /// The key of the last event.
  char key() const noexcept { return key_; }
  /// Readable as soon as a signal wants the process to end; stays so.
  int quit_descriptor() const noexcept { return quit_descriptor_; }
  std::size_t columns() const;
  std::size_t rows() const;

  /// The signal that made quit_descriptor() readable; 0 when none did.
  int quit_signal();
  /// For when the screen has been given back: ends the process by `signal`, so that a shell sees why it ended.
  static void die_by(int signal);

 private:
  void enter();
  void leave();
  void stop_for_a_while();

  bool has_keys_;
  char key_ = 0;
  termios saved_{};
  sigset_t former_mask_{};
  int quit_descriptor_ = -1;
  int other_descriptor_ = -1;
};

}  // namespace rtd::ctl
