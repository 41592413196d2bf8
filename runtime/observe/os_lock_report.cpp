// What is said about a green thread that waits with a mutex of the system in its hands.
#include <atomic>
#include <cstdio>
#include <new>
#include <string>

#include "rt/task.h"
#include "runtime/observe/frame_bounds.h"
#include "runtime/observe/symbol_text.h"
#include "runtime/sched/os_locks.h"
#include "runtime/sched/park.h"

namespace rt::detail {

namespace {

constexpr std::size_t most_frames = 16;
// report_os_locks and the runtime's function that calls it.
constexpr std::size_t frames_of_the_report = 2;
// Pairs of places that are told apart; of more of them nothing is said any more. A program with 256 such places has
// been told enough.
constexpr std::size_t most_pairs = 256;

struct walked_stack {
  void* returns[most_frames];
  const std::uintptr_t* frames[most_frames];  // whose return address it is
  std::size_t count = 0;
};

// The own stack, so all of it is readable.
__attribute__((noinline)) walked_stack walk(const green_thread& self) noexcept {
  walked_stack found;
  const auto* frame = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  auto low = reinterpret_cast<std::uintptr_t>(self.stack_low());
  auto high = reinterpret_cast<std::uintptr_t>(self.stack_high());
  while (found.count < most_frames) {
    if (!is_frame_within(reinterpret_cast<std::uintptr_t>(frame), low, high) || frame[1] == 0) break;
    found.returns[found.count] = reinterpret_cast<void*>(frame[1]);
    found.frames[found.count++] = frame;
    const auto* next = reinterpret_cast<const std::uintptr_t*>(frame[0]);
    if (next <= frame) break;
    frame = next;
  }
  return found;
}

// True for the first caller with this pair.
bool is_new(std::uint64_t pair) noexcept {
  static std::atomic<std::uint64_t> known[most_pairs];
  if (pair == 0) pair = 1;
  for (std::size_t i = 0; i < most_pairs; ++i) {
    std::atomic<std::uint64_t>& place = known[(pair + i) % most_pairs];
    std::uint64_t there = place.load(std::memory_order_relaxed);  // only the word itself matters
    if (there == 0 && place.compare_exchange_strong(there, pair, std::memory_order_relaxed)) return true;
    if (there == pair) return false;
  }
  return false;
}

std::uint64_t mixed(std::uint64_t sum, const void* address) noexcept {
  sum = (sum ^ reinterpret_cast<std::uintptr_t>(address)) * 0x9e3779b97f4a7c15U;  // 2^64 / golden ratio
  return sum ^ (sum >> 29);
}

void append_frame(std::string& line, void* address) {
  for (char c : symbol_text(address, true)) {
    if (c != '\t') line += c == '\n' ? ' ' : c;
  }
}

std::string describe(const held_os_locks& held, std::size_t count, const walked_stack& stack) {
  std::string text = "green thread " + std::to_string(current_green_thread()->id) +
                     " waits while it holds a mutex of the system, which can stop whole processors; use rt::mutex, or "
                     "unlock before waiting. It waits at ";
  for (std::size_t i = frames_of_the_report; i < stack.count; ++i) {
    if (i != frames_of_the_report) text += " <- ";
    append_frame(text, stack.returns[i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const held_os_lock& one = held[i];
    text += "; locked at ";
    append_frame(text, one.caller);
    if (one.callers_caller != nullptr) {
      text += " <- ";
      append_frame(text, one.callers_caller);
    }
    // Above the frame of the lock's caller nothing has returned yet, or it would be a frame no longer.
    for (std::size_t above = 0; above < stack.count; ++above) {
      if (stack.frames[above] <= one.frame) continue;
      text += " <- ";
      append_frame(text, stack.returns[above]);
    }
  }
  return text;
}

}  // namespace

void report_os_locks(const held_os_locks& held, std::size_t count) noexcept {
  walked_stack stack = walk(*current_green_thread());
  std::uint64_t pair = 0;
  for (std::size_t i = 0; i < stack.count; ++i) pair = mixed(pair, stack.returns[i]);
  for (std::size_t i = 0; i < count; ++i) pair = mixed(mixed(pair, held[i].caller), held[i].callers_caller);
  if (!is_new(pair)) return;
  try {
    std::string text = describe(held, count, stack);
    if (task* mine = this_task(); mine != nullptr) {
      mine->warn(text);
    } else {
      std::fprintf(stderr, "rtd runtime: %s\n", text.c_str());
    }
  } catch (const std::bad_alloc&) {
    // It is counted at least.
  }
}

}  // namespace rt::detail
