// What the reports of a crash and of a refused system call have in common: where a thread was, whose code it ran, and
// how that is written. Everything here is async-signal-safe.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "daemon/host/fixed_text.h"

namespace rtd::host {

struct registers {
  std::uintptr_t code;   // program counter
  std::uintptr_t stack;  // stack pointer
  std::uintptr_t frame;  // frame pointer
  std::uintptr_t back;   // where a call into nowhere would return to; 0: not known
};

/// Whether the eight bytes at an aligned address can be read; false for other addresses.
bool readable(std::uintptr_t address) noexcept;

registers registers_of(const ucontext_t& context) noexcept;

/// Calls `take` with the code address of each frame and `argument`, innermost first, from the one that was interrupted
/// at `code` on; ends when it returns false. A damaged stack may make it fault.
void unwind_from(std::uintptr_t code, bool (*take)(std::uintptr_t, void*), void* argument) noexcept;

/// Who was running: the green thread of this kernel thread, its task, or the plugin that is being loaded here.
struct culprit {
  std::uint64_t green_thread = 0;
  const char* green_thread_name = "";
  const char* task = "";
  const char* plugin = "";
  bool overflowed = false;  // the fault address lies in the guard of the green thread's stack
  std::uint64_t stack_size = 0;
};

/// `fault_address` may be null.
culprit find_culprit(const void* fault_address) noexcept;

/// Appends `,"key":"value"`.
void append_text_field(fixed_text& text, const char* key, const char* value) noexcept;

/// Appends `,"green_thread":…,"green_thread_name":…,"task":…,"plugin":…`.
void append_culprit(fixed_text& text, const culprit& who) noexcept;

/// Appends `,"stack":[…]`, with as many frames as leave the whole text below `room` bytes. `interrupted` is the address
/// that is no return address. Between begin_reading and end_reading of crash_symbols(), or in a crash.
void append_stack(fixed_text& text, std::span<const std::uintptr_t> frames, std::uintptr_t interrupted,
                  std::size_t room) noexcept;

}  // namespace rtd::host
