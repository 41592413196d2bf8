// The heap's own tables: memory that is never given back, so that a stale pointer to one still points to one.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>

#include "runtime/os/memory.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

/// Makes Ts, and takes them back to use them again. A T has a member `pool_link` and a member reset().
template <class T>
class table_pool {
 public:
  /// A fresh T, or one that was given back and reset. Null when the system has no memory.
  T* take() noexcept {
    os::spin_guard guard(lock_);
    if (T* one = free_; one != nullptr) {
      free_ = one->pool_link;
      one->pool_link = nullptr;
      used_.fetch_add(1, std::memory_order_relaxed);
      return one;
    }
    if (left_ == 0) {
      void* block = os::reserve(block_size, 0, "rt: heap tables");
      if (block == nullptr) return nullptr;
      next_ = static_cast<char*>(block);
      left_ = block_size / sizeof(T);
    }
    T* one = ::new (static_cast<void*>(next_)) T;
    next_ += sizeof(T);
    --left_;
    made_.fetch_add(1, std::memory_order_relaxed);
    used_.fetch_add(1, std::memory_order_relaxed);
    return one;
  }
  void give_back(T& one) noexcept {
    one.reset();
    os::spin_guard guard(lock_);
    one.pool_link = free_;
    free_ = &one;
    used_.fetch_sub(1, std::memory_order_relaxed);
  }
  std::size_t used_bytes() const noexcept { return used_.load(std::memory_order_relaxed) * sizeof(T); }
  std::size_t made_bytes() const noexcept { return made_.load(std::memory_order_relaxed) * sizeof(T); }

 private:
  // Address space that is asked for at once, in bytes; memory is committed by touch.
  static constexpr std::size_t block_size =
      (std::size_t{1} << 20) < 8 * sizeof(T) ? 8 * sizeof(T) : std::size_t{1} << 20;

  os::spin_lock lock_{os::lock_rank::heap_tables};
  T* free_ RT_GUARDED_BY(lock_) = nullptr;
  char* next_ RT_GUARDED_BY(lock_) = nullptr;
  std::size_t left_ RT_GUARDED_BY(lock_) = 0;
  std::atomic<std::size_t> used_{0};
  std::atomic<std::size_t> made_{0};
};

}  // namespace rt::detail
