#include "tests/model/system.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>
#include <string>

#include "runtime/os/barrier.h"
#include "runtime/os/fatal.h"
#include "runtime/os/spin_lock.h"
#include "tests/model/checker/model.h"

namespace rt_model {

namespace {
std::atomic<std::int64_t> time_now{0};
}  // namespace

bool leave_out_barriers = false;

void set_time(std::int64_t now) { time_now.store(now, std::memory_order_seq_cst); }

}  // namespace rt_model

extern "C" int clock_gettime(clockid_t clock, timespec* result) noexcept {
  if (!rt_model::in_execution()) return static_cast<int>(syscall(SYS_clock_gettime, clock, result));
  std::int64_t now = rt_model::time_now.load(std::memory_order_seq_cst);
  result->tv_sec = now / 1'000'000'000;
  result->tv_nsec = now % 1'000'000'000;
  return 0;
}

// Whole pages (os/page_allocator.h) are memory of the execution: they are poisoned when they are given back, and
// nothing of them is left when the execution ends in the middle.
static constexpr std::align_val_t page{4096};
extern "C" void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
  if (!rt_model::in_execution()) {
    return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
  }
  void* memory = ::operator new(size, page, std::nothrow);
  if (memory == nullptr) return MAP_FAILED;
  rt_model::unwatched guard;
  return std::memset(memory, 0, size);
}
extern "C" int munmap(void* address, std::size_t size) noexcept {
  if (!rt_model::in_execution()) return static_cast<int>(syscall(SYS_munmap, address, size));
  ::operator delete(address, page);
  return 0;
}

namespace rt::os {

void fatal(const char* format, ...) noexcept {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  rt_model::fail(std::string("fatal: ") + text);
}

bool prepare_process_barrier() noexcept { return true; }
void process_barrier() noexcept {
  if (!rt_model::leave_out_barriers) rt_model::barrier();
}

// Reached only when the checker does not take an attempt for a lock by itself (instrument.cpp).
void lock_word_slow(std::atomic<std::uint32_t>& word) noexcept {
  do {
    rt_model::wait_while(word, 1);
  } while (word.exchange(1, std::memory_order_acquire) != 0);
}

}  // namespace rt::os
