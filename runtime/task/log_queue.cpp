#include "runtime/task/log_queue.h"

#include <utility>

#include "runtime/os/futex.h"

namespace rt::detail {

log_queue::log_queue(std::size_t most_lines, std::size_t most_bytes)
    : ring_(most_lines == 0 ? 1 : most_lines), most_bytes_(most_bytes) {}

bool log_queue::push(log_line line) noexcept {
  std::size_t size = line.message.size();
  bool was_empty = false;
  {
    os::spin_guard guard(lock_);
    if (count_ == ring_.size() || bytes_ + size > most_bytes_) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    was_empty = count_ == 0;
    // The slot's own strings are empty since take() moved them out, so nothing is freed under the lock.
    ring_[(first_ + count_) % ring_.size()] = std::move(line);
    ++count_;
    bytes_ += size;
  }
  if (was_empty) wake();
  return true;
}

void log_queue::take(std::vector<log_line>& to) {
  for (;;) {
    std::size_t expected;
    {
      os::spin_guard guard(lock_);
      expected = count_;
    }
    if (expected == 0) return;
    to.reserve(to.size() + expected);  // outside the lock
    os::spin_guard guard(lock_);
    for (; expected > 0; --expected) {
      log_line& line = ring_[first_];
      bytes_ -= line.message.size();
      to.push_back(std::exchange(line, {}));
      first_ = (first_ + 1) % ring_.size();
      --count_;
    }
    if (count_ == 0) return;
  }
}

void log_queue::wait(std::chrono::milliseconds most) noexcept {
  // Sequentially consistent on both sides: either the writer sees that the reader sleeps, or the reader's futex sees
  // that the signal has changed.
  reader_sleeps_.store(true);
  if (signal_.load() == seen_) {
    os::futex_wait(signal_, seen_, std::chrono::duration_cast<std::chrono::nanoseconds>(most).count());
  }
  reader_sleeps_.store(false);
  seen_ = signal_.load();
}

void log_queue::wake() noexcept {
  signal_.fetch_add(1);
  if (reader_sleeps_.load()) os::futex_wake(signal_, 1);
}

}  // namespace rt::detail
