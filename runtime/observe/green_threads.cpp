// Looking at all green threads: rt::all_green_threads and the dumps as text.
//
// Descriptors are found by walking over the slots of the stack pool, so nothing is registered at a spawn. A parked
// green thread's frames are followed by the saved frame pointer while it may be running again: every address is checked
// against the bounds of its stack, which is always mapped, and the walk is thrown away if the green thread was resumed
// meanwhile.
#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "rt/runtime.h"
#include "runtime/observe/frame_bounds.h"
#include "runtime/observe/own_frames.h"
#include "runtime/observe/symbol_text.h"
#include "runtime/os/thread.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/group_registry.h"
#include "runtime/sched/scheduler.h"

namespace rt {

namespace {

constexpr std::size_t most_frames = 64;

// Reads words that their owner may be writing; what is torn is thrown away by the caller.
__attribute__((no_sanitize("address", "thread"), noinline)) std::size_t walk_frames(const std::uintptr_t* frame,
                                                                                    std::uintptr_t low,
                                                                                    std::uintptr_t high, void** frames,
                                                                                    std::size_t most) {
  std::size_t count = 0;
  while (count < most) {
    if (!detail::is_frame_within(reinterpret_cast<std::uintptr_t>(frame), low, high)) break;
    std::uintptr_t return_address = frame[1];
    if (return_address == 0) break;
    frames[count++] = reinterpret_cast<void*>(return_address);
    const auto* next = reinterpret_cast<const std::uintptr_t*>(frame[0]);
    if (next <= frame) break;
    frame = next;
  }
  return count;
}

// The bounds come from the slot: that of another green thread that begins here is being written into the descriptor.
__attribute__((no_sanitize("address", "thread"), noinline)) std::size_t walk_parked(const detail::stack_slot& slot,
                                                                                    const detail::green_thread& one,
                                                                                    void** frames, std::size_t most) {
  std::uintptr_t low = reinterpret_cast<std::uintptr_t>(slot.base) + slot.guard_size;
  auto high = reinterpret_cast<std::uintptr_t>(&one);  // the stack begins just below the descriptor
  auto top = reinterpret_cast<std::uintptr_t>(one.flow.stack_pointer);
  if (!detail::is_frame_within(top, low, high) || most == 0) return 0;
  frames[0] = one.flow.resume_at;
  // The switch left the frame pointer at the top of the stack (context.h).
  const auto* frame = *reinterpret_cast<const std::uintptr_t* const*>(top);
  return 1 + walk_frames(frame, low, high, frames + 1, most - 1);
}

const char* state_text(detail::phase where, detail::wait_reason reason) {
  switch (where) {
    case detail::phase::unused:
    case detail::phase::prepared:
      return "dead";
    case detail::phase::runnable:
      return "runnable";
    case detail::phase::running:
      return "running";
    case detail::phase::blocking:
      return "syscall";
    case detail::phase::waiting:
      return detail::to_text(reason);
  }
  return "";
}

std::string header(const green_thread_info& one) {
  std::string text = "goroutine " + std::to_string(one.id) + " [" + one.state;
  if (one.waiting_seconds >= 60)
    text += ", " + std::to_string(static_cast<long>(one.waiting_seconds / 60)) + " minutes";
  text += "]";
  if (!one.task.empty() || !one.name.empty()) {
    text += " {";
    if (!one.task.empty()) text += "task: " + one.task;
    if (!one.name.empty()) text += std::string(one.task.empty() ? "" : ", ") + "name: " + one.name;
    text += "}";
  }
  return text + ":\n";
}

void append_stack(std::string& text, const green_thread_info& one) {
  text += header(one);
  if (one.frames.empty()) {
    text += "\tgreen thread is running; its stack is not available\n";
  }
  bool first = true;
  for (void* frame : one.frames) {
    text += detail::symbol_text(frame, !first) + "\n";
    first = false;
  }
  text += "\n";
}

}  // namespace

// Those without a stack. Of their frames only the innermost's code is known: they may end while they are looked at.
static void append_coroutines(std::vector<green_thread_info>& found, std::size_t limit, std::string_view task) {
  if (detail::coroutines().bytes() == 0) return;
  struct pinned_groups {
    std::vector<detail::group*> all;
    pinned_groups() { detail::group_registry::pin_all(all); }
    ~pinned_groups() {
      for (detail::group* one : all) detail::group_registry::unpin(*one);
    }
  } groups;
  const std::int64_t now = detail::runtime_now();
  detail::coroutines().for_each([&](const detail::coroutine_record& one) {
    if (found.size() >= limit) return;
    detail::coroutine_crew* crew = one.crew.load(std::memory_order_acquire);  // pairs with its start
    if (crew == nullptr) return;
    auto whose = std::find_if(groups.all.begin(), groups.all.end(), [&](auto* of) { return &of->crew == crew; });
    if (whose == groups.all.end() || (!task.empty() && (*whose)->name != task)) return;
    const detail::phase where = one.where.load(std::memory_order_relaxed);
    green_thread_info info;
    info.id = one.id.load(std::memory_order_relaxed);
    if (const char* name = one.name.load(std::memory_order_relaxed); name != nullptr) info.name = name;
    info.task = (*whose)->name;
    info.state = state_text(where, one.waits_for.load(std::memory_order_relaxed));
    if (where == detail::phase::waiting) {
      const std::int64_t since = one.waiting_since.load(std::memory_order_relaxed);
      info.waiting_seconds = now > since ? static_cast<double>(now - since) * 1e-9 : 0;
      info.frames.push_back(one.code.load(std::memory_order_relaxed));
    }
    found.push_back(std::move(info));
  });
}

std::vector<green_thread_info> all_green_threads(std::size_t limit, std::string_view task) {
  std::vector<green_thread_info> found;
  std::int64_t now = detail::runtime_now();
  detail::green_thread* self = detail::current_green_thread();
  detail::stacks().for_each_slot([&](const detail::stack_slot& slot) {
    if (found.size() >= limit) return;
    detail::green_thread& one = *detail::descriptor_of(slot.base, slot.size, slot.index);
    detail::phase where = one.where.load(std::memory_order_acquire);
    if (!detail::is_alive(where)) return;
    detail::group* owner = one.member_of.load(std::memory_order_relaxed);
    if (!task.empty() && (owner == nullptr || owner->name != task)) return;
    green_thread_info info;
    info.id = one.id.load(std::memory_order_relaxed);
    if (const char* name = one.name.load(std::memory_order_relaxed); name != nullptr) info.name = name;
    if (owner != nullptr) info.task = owner->name;
    info.state = state_text(where, one.waits_for.load(std::memory_order_relaxed));
    void* frames[most_frames];
    std::size_t count = 0;
    if (&one == self) {
      count = detail::own_frames(frames, most_frames);
    } else if (where != detail::phase::running) {
      std::uint32_t resumed = one.thread_switch.load(std::memory_order_acquire);
      count = walk_parked(slot, one, frames, most_frames);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (one.thread_switch.load(std::memory_order_relaxed) != resumed) count = 0;
      if (where == detail::phase::blocking) count = 0;  // it runs; what was saved is older
    }
    if (where == detail::phase::waiting || where == detail::phase::blocking) {
      std::int64_t since = one.waiting_since.load(std::memory_order_relaxed);
      info.waiting_seconds = now > since ? static_cast<double>(now - since) * 1e-9 : 0;
    }
    info.frames.assign(frames, frames + count);
    found.push_back(std::move(info));
  });
  append_coroutines(found, limit, task);
  return found;
}

std::string to_text(const green_thread_info& one) {
  std::string text;
  append_stack(text, one);
  return text;
}

std::string all_stacks(std::size_t limit) {
  std::string text;
  for (const green_thread_info& one : all_green_threads(limit)) append_stack(text, one);
  return text;
}

std::string stack_trace() {
  green_thread_info info;
  info.id = green_thread_id();
  info.state = "running";
  void* frames[most_frames];
  std::size_t count = detail::own_frames(frames, most_frames);
  info.frames.assign(frames, frames + count);
  if (detail::group* owner = detail::current_group(); owner != nullptr) info.task = owner->name;
  std::string text;
  append_stack(text, info);
  return text;
}

namespace detail {

std::string symbol_text(void* address, bool is_return_address) {
  // A return address may already belong to the next function: look up the call itself.
  auto lookup = reinterpret_cast<std::uintptr_t>(address) - (is_return_address ? 1 : 0);
  Dl_info info{};
  char text[64];
  if (dladdr(reinterpret_cast<void*>(lookup), &info) == 0 || info.dli_fname == nullptr) {
    std::snprintf(text, sizeof text, "0x%" PRIxPTR, reinterpret_cast<std::uintptr_t>(address));
    return text;
  }
  std::string file = info.dli_fname;
  file.erase(0, file.rfind('/') + 1);
  if (info.dli_sname == nullptr) {
    std::snprintf(text, sizeof text, "+0x%" PRIxPTR,
                  reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
    return "?(...)\n\t" + file + ":0 " + text;
  }
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> readable(abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status),
                                                  std::free);
  std::string name = readable != nullptr ? readable.get() : info.dli_sname;
  if (name.find('(') == std::string::npos) name += "(...)";
  std::snprintf(text, sizeof text, "+0x%" PRIxPTR,
                reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(info.dli_saddr));
  return name + "\n\t" + file + ":0 " + text;
}

__attribute__((noinline)) std::size_t own_frames(void** frames, std::size_t most) noexcept {
  const auto* frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  std::uintptr_t low;
  std::uintptr_t high;
  if (green_thread* self = current_green_thread(); self != nullptr) {
    low = reinterpret_cast<std::uintptr_t>(self->stack_low());
    high = reinterpret_cast<std::uintptr_t>(self->stack_high());
  } else {
    os::thread_stack stack = os::current_thread_stack();
    low = reinterpret_cast<std::uintptr_t>(stack.low);
    high = low + stack.size;
  }
  return walk_frames(frame, low, high, frames, most);
}

}  // namespace detail

}  // namespace rt
