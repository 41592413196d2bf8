#include "runtime/gc/allocation_trace.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "runtime/os/thread.h"
#include "runtime/sched/group.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

constexpr int most_frames = 8;

// A line that is written in one piece.
class line {
 public:
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...) noexcept {
    va_list values;
    va_start(values, format);
    int length = std::vsnprintf(text_ + used_, sizeof text_ - used_, format, values);
    va_end(values);
    if (length > 0) used_ = std::min(used_ + static_cast<std::size_t>(length), sizeof text_ - 1);
  }
  void write() noexcept {
    used_ = std::min(used_, sizeof text_ - 2);
    text_[used_++] = '\n';
    static_cast<void>(!::write(STDERR_FILENO, text_, used_));
  }

 private:
  char text_[1024];
  std::size_t used_ = 0;
};

void add_place(line& to, std::uintptr_t address) noexcept {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(address), &info) == 0 || info.dli_fname == nullptr) {
    to.add(" 0x%zx", static_cast<std::size_t>(address));
    return;
  }
  const char* slash = std::strrchr(info.dli_fname, '/');
  to.add(" %s+0x%zx", slash == nullptr ? info.dli_fname : slash + 1,
         static_cast<std::size_t>(address - reinterpret_cast<std::uintptr_t>(info.dli_fbase)));
}

// Follows the frame pointers, which grow and lie on the stack, for as long as they do.
void add_frames(line& to, std::uintptr_t frame, std::uintptr_t low, std::uintptr_t high) noexcept {
  for (int i = 0; i < most_frames && frame >= low && frame + 2 * sizeof(void*) <= high && frame % sizeof(void*) == 0;
       ++i) {
    const auto* words = reinterpret_cast<const std::uintptr_t*>(frame);
    if (words[1] == 0) return;
    add_place(to, words[1]);
    if (words[0] <= frame) return;
    frame = words[0];
  }
}

}  // namespace

void trace_allocation(const void* object, std::size_t size) noexcept {
  line text;
  text.add("allocfreetrace: alloc %p %zu bytes", object, size);
  const green_thread* self = current_green_thread();
  if (const group* mine = current_group(); mine != nullptr && !mine->name.empty()) {
    text.add(", task %.63s", mine->name.c_str());
  }
  auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (self != nullptr) {
    text.add(", green thread %llu:", static_cast<unsigned long long>(self->id.load(std::memory_order_relaxed)));
    add_frames(text, frame, reinterpret_cast<std::uintptr_t>(self->stack_low()),
               reinterpret_cast<std::uintptr_t>(self->stack_high()));
  } else {
    text.add(":");
    const os::thread_stack stack = os::current_thread_stack();
    auto low = reinterpret_cast<std::uintptr_t>(stack.low);
    add_frames(text, frame, low, low + stack.size);
  }
  text.write();
}

void trace_free(const void* object, std::size_t size) noexcept {
  line text;
  text.add("allocfreetrace: free %p %zu bytes", object, size);
  text.write();
}

}  // namespace rt::detail
