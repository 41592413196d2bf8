// A non-blocking stream of bytes: a connected unix socket or one end of a pipe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/sandbox/descriptor.h"
#include "daemon/supervisor/io/loop.h"

namespace rtd::supervisor {

class byte_stream {
 public:
  struct callbacks {
    /// Bytes came. The view is good until the call returns.
    std::function<void(std::string_view)> data;
    /// The other side closed, or an error ended the stream. Called once, after the last bytes; not after close().
    std::function<void()> closed;
    /// All that was written has left for the kernel. May be empty.
    std::function<void()> drained;
  };

  /// Takes over `from`, which must be in non-blocking mode, and starts to read.
  byte_stream(loop& on, sandbox::descriptor from, callbacks on_event);
  /// Closes at once; what is queued is lost.
  ~byte_stream();
  byte_stream(const byte_stream&) = delete;
  byte_stream& operator=(const byte_stream&) = delete;

  /// Queues bytes. The caller bounds the queue by looking at queued() and progress().
  void write(std::string bytes);
  /// The same with descriptors that go along with the first of the bytes, on a unix socket. They are closed here then.
  void write(std::string bytes, std::vector<sandbox::descriptor> with);
  std::size_t queued() const noexcept;
  /// When bytes last left the queue, or the queue last became non-empty: the age of a reader's silence.
  clock::time_point progress() const noexcept;

  /// Stops reading, so that the other side feels the pressure; and goes on.
  void pause_reading();
  void resume_reading();

  /// Reads and delivers at once what the kernel holds, at most `limit` bytes: for the last words of a dead process.
  /// Unlike everything else it calls the data callback from inside.
  void read_rest(std::size_t limit);

  void close();
  /// Closes when the queue is empty, and reads nothing any more.
  void close_when_drained();
  bool is_open() const noexcept;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace rtd::supervisor
