#include "runtime/os/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "runtime/os/clock.h"

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102
#endif
#if !defined(PR_SET_VMA)
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace rt::os {

std::size_t page_size() noexcept {
  static const std::size_t size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

namespace {

void* reserve_with(std::uintptr_t wanted, std::size_t size, std::size_t alignment, int protection,
                   const char* name) noexcept {
  std::size_t extra = alignment > page_size() ? alignment : 0;
  void* raw = mmap(reinterpret_cast<void*>(wanted), size + extra, protection,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto begin = reinterpret_cast<std::uintptr_t>(raw);
  std::uintptr_t aligned = extra == 0 ? begin : (begin + alignment - 1) & ~(alignment - 1);
  if (aligned > begin) munmap(raw, aligned - begin);
  if (aligned + size < begin + size + extra) {
    munmap(reinterpret_cast<void*>(aligned + size), begin + extra - aligned);
  }
  void* result = reinterpret_cast<void*>(aligned);
  prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, result, size, name);  // fails on kernels without names: harmless
  return result;
}

}  // namespace

void* reserve(std::size_t size, std::size_t alignment, const char* name) noexcept {
  return reserve_with(0, size, alignment, PROT_READ | PROT_WRITE, name);
}

void* reserve_address_space(std::uintptr_t wanted, std::size_t size, std::size_t alignment, access may,
                            const char* name) noexcept {
  return reserve_with(wanted, size, alignment, may == access::read ? PROT_READ : PROT_NONE, name);
}

bool permit_writing(void* address, std::size_t size) noexcept {
  return mprotect(address, size, PROT_READ | PROT_WRITE) == 0;
}

bool forbid_access(void* address, std::size_t size) noexcept { return mprotect(address, size, PROT_NONE) == 0; }

void random_bytes(void* to, std::size_t size) noexcept {
  if (getrandom(to, size, GRND_NONBLOCK) == static_cast<ssize_t>(size)) return;
  auto* bytes = static_cast<unsigned char*>(to);
  std::uint64_t state = cycles() | 1;
  for (std::size_t i = 0; i < size; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    bytes[i] = static_cast<unsigned char>(state >> 24);
  }
}

void release(void* address, std::size_t size) noexcept { munmap(address, size); }

namespace {

// Some emulators accept every advice and do nothing: ask the kernel to read the page, which answers EFAULT if it is
// guarded.
bool touching_fails(void* page) noexcept {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  bool failed = write(ends[1], page, 1) < 0 && errno == EFAULT;
  close(ends[0]);
  close(ends[1]);
  return failed;
}

bool probe_guard_install() noexcept {
  const char* choice = std::getenv("RT_STACK_GUARD");
  if (choice != nullptr && std::strcmp(choice, "mprotect") == 0) return false;
  void* page = mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  bool known = madvise(page, page_size(), MADV_GUARD_INSTALL) == 0 && touching_fails(page);
  munmap(page, page_size());
  return known;
}

}  // namespace

bool can_install_guards() noexcept {
  static const bool known = probe_guard_install();
  return known;
}

bool install_guard(void* address, std::size_t size, bool by_marker) noexcept {
  if (by_marker) return madvise(address, size, MADV_GUARD_INSTALL) == 0;
  return mprotect(address, size, PROT_NONE) == 0;
}

void discard_pages(void* address, std::size_t size) noexcept { madvise(address, size, MADV_DONTNEED); }

void forbid_huge_pages(void* address, std::size_t size) noexcept { madvise(address, size, MADV_NOHUGEPAGE); }

std::size_t max_map_count() noexcept {
  constexpr std::size_t kernel_default = 65530;
  int file = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
  if (file < 0) return kernel_default;
  char text[32];
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return kernel_default;
  text[length] = '\0';
  unsigned long value = std::strtoul(text, nullptr, 10);
  return value == 0 ? kernel_default : value;
}

}  // namespace rt::os
