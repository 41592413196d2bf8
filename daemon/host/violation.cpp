#include "daemon/host/violation.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "daemon/host/fixed_text.h"
#include "daemon/host/report_parts.h"
#include "daemon/host/symbol_table.h"
#include "daemon/host/system_call.h"

namespace rtd::host {

namespace {

constexpr std::size_t places = 16;
constexpr std::size_t report_bytes = 8 * 1024;
constexpr int most_frames = 24;

enum class state : int { free, filling, ready };

struct place {
  // `ready` is stored with release after the text was written, and loaded with acquire before it is read.
  std::atomic<state> is{state::free};
  std::size_t length = 0;
  std::uintptr_t frames[most_frames];
  char text[report_bytes];
};

// A signal handler gets no argument of ours, so what it needs lies here.
place all_places[places];
std::atomic<std::uint64_t> lost{0};
void (*wake_reader)(void*) = nullptr;
void* wake_argument = nullptr;

place* claim() noexcept {
  for (place& one : all_places) {
    state expected = state::free;
    if (one.is.compare_exchange_strong(expected, state::filling)) return &one;
  }
  return nullptr;
}

int walk(const registers& at, std::uintptr_t* frames) noexcept {
  struct {
    std::uintptr_t* frames;
    int count;
  } found{frames, 0};
  unwind_from(
      at.code,
      [](std::uintptr_t address, void* argument) {
        auto& to = *static_cast<decltype(found)*>(argument);
        to.frames[to.count++] = address;
        return to.count < most_frames;
      },
      &found);
  return found.count;
}

void compose(fixed_text& text, const siginfo_t& info, const ucontext_t& context, std::uintptr_t* frames) noexcept {
  text.append("{\"event\":\"violation\",\"number\":");
  text.append_number(static_cast<std::uint64_t>(info.si_syscall));
  text.append(",\"arguments\":[");
  for (int i = 0; i < 6; ++i) {
    text.append(i == 0 ? "\"" : ",\"");
    text.append_hex(call_argument(context, i));
    text.append("\"");
  }
  text.append("]");
  append_culprit(text, find_culprit(nullptr));
  const registers at = registers_of(context);
  const int count = walk(at, frames);
  crash_symbols().begin_reading();
  append_stack(text, {frames, static_cast<std::size_t>(count)}, at.code, report_bytes);
  crash_symbols().end_reading();
  text.append("}");
}

}  // namespace

void note_violation(const siginfo_t& info, ucontext_t& context) noexcept {
  const int error = errno;
  if (place* where = claim()) {
    fixed_text text(where->text, report_bytes);
    compose(text, info, context, where->frames);
    where->length = text.overflowed() ? 0 : text.length();
    where->is.store(where->length == 0 ? state::free : state::ready, std::memory_order_release);
  } else {
    lost.fetch_add(1);
  }
  if (wake_reader != nullptr) wake_reader(wake_argument);
  set_call_result(context, -EPERM);
  errno = error;
}

void wake_on_violation(void (*wake)(void*), void* argument) noexcept {
  wake_reader = wake;
  wake_argument = argument;
}

void take_violations(const std::function<void(std::string_view)>& take) {
  for (place& one : all_places) {
    if (one.is.load(std::memory_order_acquire) != state::ready) continue;
    take({one.text, one.length});
    one.is.store(state::free);
  }
}

std::uint64_t violations_without_report() noexcept { return lost.load(); }

}  // namespace rtd::host
