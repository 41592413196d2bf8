#include "daemon/supervisor/io/byte_stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

namespace rtd::supervisor {
namespace {

constexpr std::size_t read_size = 64U << 10U;

}  // namespace

// Asio only says when the descriptor is ready; reading and writing are done here, so pipes and sockets are the same.
struct byte_stream::state : std::enable_shared_from_this<byte_stream::state> {
  state(loop& on, callbacks on_event)
      : descriptor(on.context()), events(std::make_shared<const callbacks>(std::move(on_event))) {}

  boost::asio::posix::stream_descriptor descriptor;
  // Whoever calls one holds a copy of the pointer: the callback may close the stream, which lets go of this one.
  std::shared_ptr<const callbacks> events;
  struct piece {
    std::string bytes;
    std::vector<sandbox::descriptor> with;
  };
  std::deque<piece> queue;
  std::size_t queue_bytes = 0;
  std::size_t front_offset = 0;
  clock::time_point last_progress = clock::now();
  bool paused = false;
  bool reading = false;
  bool writing = false;
  bool closing = false;  // close_when_drained() was called

  bool open() const { return descriptor.is_open(); }

  void wait_read() {
    if (reading || paused || closing || !open()) return;
    reading = true;
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            self->reading = false;
                            if (!error && self->open() && !self->paused && !self->closing) self->read_some();
                          });
  }

  void read_some() {
    if (read_once() != 0) wait_read();
  }

  // Returns the bytes delivered; 0 when the stream has ended (and `closed` was called), -1 when there is nothing now.
  ssize_t read_once() {
    std::array<char, read_size> buffer;
    const ssize_t got = ::read(descriptor.native_handle(), buffer.data(), buffer.size());
    if (got > 0) {
      const auto keep = shared_from_this();
      const auto calling = events;
      if (calling->data) calling->data({buffer.data(), static_cast<std::size_t>(got)});
      return got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return -1;
    finish(true);
    return 0;
  }

  void wait_write() {
    if (writing || queue.empty() || !open()) return;
    writing = true;
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_write,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            self->writing = false;
                            if (!error && self->open()) self->write_some();
                          });
  }

  void write_some() {
    while (!queue.empty()) {
      piece& first = queue.front();
      const std::string& front = first.bytes;
      const std::string_view rest = std::string_view(front).substr(front_offset);
      const ssize_t put = first.with.empty() ? ::write(descriptor.native_handle(), rest.data(), rest.size())
                                             : send_along(rest, first.with);
      if (put < 0) {
        if (errno == EAGAIN || errno == EINTR) break;
        finish(true);
        return;
      }
      first.with.clear();
      last_progress = clock::now();
      queue_bytes -= static_cast<std::size_t>(put);
      front_offset += static_cast<std::size_t>(put);
      if (front_offset == front.size()) {
        queue.pop_front();
        front_offset = 0;
      }
    }
    if (!queue.empty()) {
      wait_write();
    } else if (closing) {
      finish(true);
    } else if (events->drained) {
      const auto keep = shared_from_this();
      const auto calling = events;
      calling->drained();
    }
  }

  ssize_t send_along(std::string_view bytes, const std::vector<sandbox::descriptor>& with) {
    std::vector<char> control(CMSG_SPACE(with.size() * sizeof(int)));
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(with.size() * sizeof(int));
    auto* at = CMSG_DATA(header);
    for (const sandbox::descriptor& one : with) {
      const int number = one.get();
      std::memcpy(at, &number, sizeof number);
      at += sizeof number;
    }
    return ::sendmsg(descriptor.native_handle(), &message, MSG_NOSIGNAL);
  }

  void finish(bool tell) {
    if (!open()) return;
    const auto keep = shared_from_this();
    boost::system::error_code ignored;
    descriptor.close(ignored);
    queue.clear();
    queue_bytes = 0;
    const auto last = std::exchange(events, std::make_shared<const callbacks>());
    if (tell && last->closed) last->closed();
  }
};

byte_stream::byte_stream(loop& on, sandbox::descriptor from, callbacks on_event)
    : state_(std::make_shared<state>(on, std::move(on_event))) {
  state_->descriptor.assign(from.release());
  state_->wait_read();
}

byte_stream::~byte_stream() { state_->finish(false); }

void byte_stream::write(std::string bytes) { write(std::move(bytes), {}); }

void byte_stream::write(std::string bytes, std::vector<sandbox::descriptor> with) {
  if (bytes.empty() || !state_->open() || state_->closing) return;
  if (state_->queue.empty()) state_->last_progress = clock::now();
  state_->queue_bytes += bytes.size();
  state_->queue.push_back({std::move(bytes), std::move(with)});
  // Even a first attempt waits for the loop: an error must not call back into a caller in the middle of something.
  state_->wait_write();
}

std::size_t byte_stream::queued() const noexcept { return state_->queue_bytes; }

clock::time_point byte_stream::progress() const noexcept { return state_->last_progress; }

void byte_stream::pause_reading() { state_->paused = true; }

void byte_stream::resume_reading() {
  state_->paused = false;
  state_->wait_read();
}

void byte_stream::read_rest(std::size_t limit) {
  const auto keep = state_;
  while (keep->open() && limit > 0) {
    const ssize_t got = keep->read_once();
    if (got <= 0) return;
    limit -= std::min(limit, static_cast<std::size_t>(got));
  }
}

void byte_stream::close() { state_->finish(false); }

void byte_stream::close_when_drained() {
  if (state_->queue.empty()) {
    state_->finish(false);
    return;
  }
  state_->closing = true;
}

bool byte_stream::is_open() const noexcept { return state_->open(); }

}  // namespace rtd::supervisor
