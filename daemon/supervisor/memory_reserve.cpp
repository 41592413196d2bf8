#include "daemon/supervisor/memory_reserve.h"

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <new>

namespace rtd::supervisor::memory_reserve {
namespace {

// Some thousand times what a request needs apart from its text. Address space alone: its pages are never touched.
constexpr std::size_t bytes = 8U << 20U;

std::atomic<void*> reserve{nullptr};

// Runs on whatever thread an allocation fails on (the loop, the writers of log and state), so it allocates nothing.
void give_back() {
  void* const held = reserve.exchange(nullptr);
  if (held == nullptr) throw std::bad_alloc();
  ::munmap(held, bytes);
}

bool take() {
  void* const got = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) return false;
  reserve.store(got);
  return true;
}

}  // namespace

void keep() {
  take();
  std::set_new_handler(give_back);
}

bool is_spent() { return reserve.load() == nullptr && !take(); }

}  // namespace rtd::supervisor::memory_reserve
