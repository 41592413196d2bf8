#include "daemon/ctl/live_screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <string>
#include <system_error>

namespace rtd::ctl {
namespace {

constexpr std::string_view enter_sequence = "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
constexpr std::string_view leave_sequence = "\x1b[?25h\x1b[?1049l";

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;  // the terminal is gone: the signal for that is under way
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int one : signals) sigaddset(&set, one);
  return set;
}

int descriptor_for(const sigset_t& set) {
  const int descriptor = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), "cannot receive signals");
  return descriptor;
}

int read_signal(int descriptor) {
  signalfd_siginfo info{};
  return ::read(descriptor, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

winsize terminal_size() {
  winsize size{};
  ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  return size;
}

}  // namespace

live_screen::live_screen() : has_keys_(::isatty(STDIN_FILENO) == 1) {
  const sigset_t quitting = set_of({SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  const sigset_t others = set_of({SIGWINCH, SIGTSTP});
  sigset_t both = quitting;
  for (const int one : {SIGWINCH, SIGTSTP}) sigaddset(&both, one);
  sigprocmask(SIG_BLOCK, &both, &former_mask_);
  quit_descriptor_ = descriptor_for(quitting);
  other_descriptor_ = descriptor_for(others);
  enter();
}

live_screen::~live_screen() {
  leave();
  ::close(quit_descriptor_);
  ::close(other_descriptor_);
  sigprocmask(SIG_SETMASK, &former_mask_, nullptr);
}

void live_screen::enter() {
  if (has_keys_ && ::tcgetattr(STDIN_FILENO, &saved_) == 0) {
    termios raw = saved_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  write_all(enter_sequence);
}

void live_screen::leave() {
  write_all(leave_sequence);
  if (has_keys_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
}

void live_screen::stop_for_a_while() {
  leave();
  ::raise(SIGSTOP);
  enter();
}

void live_screen::draw(std::string_view text) {
  std::string frame = "\x1b[H";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    frame += text.substr(0, end);
    frame += "\x1b[K";  // what the former frame had farther right
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!text.empty()) frame += "\r\n";
  }
  frame += "\x1b[J";
  write_all(frame);
}

live_screen::event live_screen::wait(std::chrono::steady_clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd entries[] = {
        {quit_descriptor_, POLLIN, 0}, {other_descriptor_, POLLIN, 0}, {has_keys_ ? STDIN_FILENO : -1, POLLIN, 0}};
    const int ready = ::poll(entries, 3, static_cast<int>(std::clamp<long long>(left, 0, 1'000'000)));
    if (ready == 0) return event::time;
    if (ready < 0) continue;
    if (entries[0].revents != 0) return event::quit_signal;
    if (entries[1].revents != 0) {
      if (read_signal(other_descriptor_) == SIGTSTP) stop_for_a_while();
      return event::resized;
    }
    if (::read(STDIN_FILENO, &key_, 1) == 1) return event::key;
    has_keys_ = false;  // standard input has ended
  }
}

std::size_t live_screen::columns() const {
  const auto size = terminal_size();
  return size.ws_col == 0 ? 80 : size.ws_col;
}

std::size_t live_screen::rows() const {
  const auto size = terminal_size();
  return size.ws_row == 0 ? 24 : size.ws_row;
}

int live_screen::quit_signal() { return read_signal(quit_descriptor_); }

void live_screen::die_by(int signal) {
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace rtd::ctl
