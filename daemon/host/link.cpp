#include "daemon/host/link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/protocol/framing.h"
#include "daemon/protocol/json.h"

namespace rtd::host {

namespace {

pid_t own_thread() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

}  // namespace

void link_writer::encode(const nlohmann::json& message, std::string& to) {
  to += rtd::protocol::encode_frame(rtd::protocol::to_line(message));
}

bool link_writer::send(const nlohmann::json& message) {
  std::string frame;
  encode(message, frame);
  answers_.fetch_add(1);
  bool open = write(frame);
  if (answers_.fetch_sub(1) == 1) answers_.notify_all();
  return open;
}

bool link_writer::send_frames(std::string_view frames) {
  for (int waiting = answers_.load(); waiting != 0; waiting = answers_.load()) answers_.wait(waiting);
  return write(frames);
}

bool link_writer::write(std::string_view bytes) {
  pid_t self = own_thread();
  pid_t nobody = 0;
  while (!owner_.compare_exchange_strong(nobody, self)) {
    owner_.wait(nobody);
    nobody = 0;
  }
  bool open = true;
  while (!bytes.empty() && open) {
    ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      open = false;
    }
  }
  owner_.store(0);
  owner_.notify_all();
  return open;
}

bool link_writer::seize(int milliseconds) noexcept {
  pid_t self = own_thread();
  for (int waited = 0;; ++waited) {
    pid_t owner = 0;
    if (owner_.compare_exchange_strong(owner, self)) return true;
    if (owner == self || waited >= milliseconds) return false;
    timespec length{0, 1'000'000};
    nanosleep(&length, nullptr);
  }
}

bool link_writer::write_seized(const char* bytes, std::size_t size, int milliseconds) noexcept {
  for (int waited = 0; size > 0;) {
    ssize_t count = ::send(descriptor_, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      bytes += count;
      size -= static_cast<std::size_t>(count);
    } else if (errno == EAGAIN && waited < milliseconds) {
      pollfd writable{descriptor_, POLLOUT, 0};
      poll(&writable, 1, 10);
      waited += 10;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace rtd::host
