#include "runtime/os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace rt::os {

bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t timeout) noexcept {
  timespec length{};
  if (timeout >= 0) {
    length.tv_sec = static_cast<time_t>(timeout / 1'000'000'000);
    length.tv_nsec = static_cast<long>(timeout % 1'000'000'000);
  }
  long outcome = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout >= 0 ? &length : nullptr, nullptr, 0);
  return outcome == 0 || errno != ETIMEDOUT;
}

void futex_wake(std::atomic<std::uint32_t>& word, int count) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

}  // namespace rt::os
