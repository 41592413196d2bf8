#include "runtime/os/thread_census.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace rt::os {

namespace {

std::atomic<std::uint64_t> declared{0};
std::atomic<std::uint64_t> taken_back{0};
std::atomic<int> own_stat{-1};

// ThreadSanitizer's background thread, which is there from the start.
#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t sanitizer_threads = 1;
#elif defined(__has_feature)
constexpr std::uint64_t sanitizer_threads = __has_feature(thread_sanitizer) ? 1 : 0;
#else
constexpr std::uint64_t sanitizer_threads = 0;
#endif

// The threads are the twentieth field of the line; the second one is the program's name in brackets, which may have
// anything in it.
bool count_in_file(int file, std::uint64_t& count) noexcept {
  constexpr int fields_from_name_to_threads = 18;
  char line[512];
  const ssize_t length = ::pread(file, line, sizeof line - 1, 0);
  if (length <= 0) return false;
  line[length] = '\0';
  const char* place = std::strrchr(line, ')');
  for (int field = 0; place != nullptr && field < fields_from_name_to_threads; ++field)
    place = std::strchr(place + 1, ' ');
  if (place == nullptr) return false;
  count = std::strtoull(place, nullptr, 10);
  return count > 0;
}

// The number of links of the folder is two more than that of the threads (proc(5): as for every folder of folders).
bool count_all(std::uint64_t& count) noexcept {
  if (const int file = own_stat.load(std::memory_order_relaxed); file >= 0) return count_in_file(file, count);
  struct stat found {};
  if (::stat("/proc/self/task", &found) != 0 || found.st_nlink < 3) return false;
  count = found.st_nlink - 2;
  return true;
}

}  // namespace

own_thread::own_thread() noexcept { declared.fetch_add(1, std::memory_order_seq_cst); }

own_thread::~own_thread() { taken_back.fetch_add(1, std::memory_order_seq_cst); }

void count_threads_in(int descriptor) noexcept { own_stat.store(descriptor, std::memory_order_relaxed); }

bool only_own_threads() noexcept {
  std::uint64_t gone_before = taken_back.load(std::memory_order_seq_cst);
  std::uint64_t come_before = declared.load(std::memory_order_seq_cst);
  std::uint64_t all = 0;
  if (!count_all(all)) return false;
  if (declared.load(std::memory_order_seq_cst) != come_before) return false;
  if (taken_back.load(std::memory_order_seq_cst) != gone_before) return false;
  return all <= come_before - gone_before + sanitizer_threads;
}

}  // namespace rt::os
