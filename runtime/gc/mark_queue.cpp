#include "runtime/gc/mark_queue.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/os/fatal.h"
#include "runtime/os/memory.h"

namespace rt::detail {

namespace {

// What is asked of the system at once, in bytes.
constexpr std::size_t piece = 64 * 1024;

}  // namespace

mark_buffer& mark_pool::take_empty() noexcept {
  os::spin_guard guard(lock_);
  if (empty_ == nullptr) {
    void* memory = os::reserve(piece, sizeof(mark_buffer), "rt: marking");
    if (memory == nullptr) os::fatal("the system has no memory for the collector's queue of marked objects");
    bytes_.fetch_add(piece, std::memory_order_relaxed);
    auto* buffers = static_cast<mark_buffer*>(memory);
    for (std::size_t i = 0; i < piece / sizeof(mark_buffer); ++i) {
      buffers[i].next = std::exchange(empty_, &buffers[i]);
    }
  }
  mark_buffer& one = *empty_;
  empty_ = one.next;
  one.next = nullptr;
  one.count = 0;
  return one;
}

void mark_pool::give_empty(mark_buffer& one) noexcept {
  os::spin_guard guard(lock_);
  one.next = std::exchange(empty_, &one);
}

mark_buffer* mark_pool::take_full() noexcept {
  if (!has_work()) return nullptr;
  os::spin_guard guard(lock_);
  mark_buffer* one = full_;
  if (one == nullptr) return nullptr;
  full_ = std::exchange(one->next, nullptr);
  full_count_.store(full_count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  return one;
}

void mark_pool::give_full(mark_buffer& one) noexcept {
  os::spin_guard guard(lock_);
  one.next = std::exchange(full_, &one);
  full_count_.store(full_count_.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // pairs with has_work
}

void mark_queue::make_room() noexcept {
  if (top_ == nullptr) {
    top_ = &pool_.take_empty();
    return;
  }
  std::swap(top_, other_);
  if (top_ == nullptr) {
    top_ = &pool_.take_empty();
  } else if (top_->count == top_->entries.size()) {
    pool_.give_full(*top_);
    top_ = &pool_.take_empty();
  }
}

bool mark_queue::use_other() noexcept {
  if (other_ == nullptr || other_->count == 0) return false;
  std::swap(top_, other_);
  return true;
}

bool mark_queue::refill() noexcept {
  mark_buffer* full = pool_.take_full();
  if (full == nullptr) return false;
  if (top_ != nullptr) pool_.give_empty(*top_);
  top_ = full;
  return true;
}

bool mark_queue::share() noexcept {
  if (other_ != nullptr && other_->count != 0) {
    pool_.give_full(*std::exchange(other_, nullptr));
    return true;
  }
  if (top_ == nullptr || top_->count < 2) return false;
  mark_buffer& half = pool_.take_empty();
  half.count = top_->count / 2;
  // The older ones: what was found first is likely to lead to more.
  std::copy_n(top_->entries.begin(), half.count, half.entries.begin());
  std::copy(top_->entries.begin() + static_cast<std::ptrdiff_t>(half.count),
            top_->entries.begin() + static_cast<std::ptrdiff_t>(top_->count), top_->entries.begin());
  top_->count -= half.count;
  pool_.give_full(half);
  return true;
}

void mark_queue::flush() noexcept {
  for (mark_buffer** one : {&top_, &other_}) {
    mark_buffer* buffer = std::exchange(*one, nullptr);
    if (buffer == nullptr) continue;
    if (buffer->count != 0) {
      pool_.give_full(*buffer);
    } else {
      pool_.give_empty(*buffer);
    }
  }
}

}  // namespace rt::detail
