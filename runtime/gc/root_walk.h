// All roots, one after the other, for those who look at everything while all stand still: gccheckmark, and the search
// for a path to an object.
#pragma once

#include <cstdint>

#include "runtime/gc/exceptions.h"
#include "runtime/gc/roots.h"
#include "runtime/gc/stack_roots.h"
#include "runtime/os/signal.h"

namespace rt::detail {

enum class root_kind : std::uint8_t { slot, data, host_stack, stack, registers, exception };

/// In words, for reports.
inline const char* to_text(root_kind kind) noexcept {
  static constexpr const char* names[] = {"a slot of rt::root or of a channel's buffer", "a data segment",
                                          "the stack of the thread that called rt::run", "the stack of a green thread",
                                          "the saved registers of a green thread",       "an exception"};
  return names[static_cast<std::size_t>(kind)];
}

/// Calls `look(low, high, kind, green_thread)` with every range of words that may refer to objects; `green_thread` is
/// its id where the range is of one, else 0. With the world stopped; `data`: the data segments, found before the stop.
template <class Look>
void for_each_root(const root_ranges& data, root_range host_stack, const Look& look) noexcept {
  roots().for_each_page([&](const void* low, const void* high) { look(low, high, root_kind::slot, std::uint64_t{0}); });
  for_each_exception(
      [](void* into, root_range one) {
        (*static_cast<const Look*>(into))(one.low, one.high, root_kind::exception, std::uint64_t{0});
      },
      const_cast<Look*>(&look));
  for (const root_range& one : data) look(one.low, one.high, root_kind::data, std::uint64_t{0});
  look(host_stack.low, host_stack.high, root_kind::host_stack, std::uint64_t{0});
  auto look_at_stack = [&](const green_thread& one, const char* low, const char* high) {
    look(low, high, root_kind::stack, one.id.load(std::memory_order_relaxed));
  };
  stacks().for_each_slot([&](const stack_slot& slot) {
    const green_thread& one = *descriptor_of(slot.base, slot.size, slot.index);
    phase where = one.where.load(std::memory_order_acquire);
    if (where == phase::unused || where == phase::blocking) return;
    stack_extent used = extent_of(one);
    look_at_stack(one, used.low, used.high);
  });
  the_scheduler()->for_each_interrupted([&](const green_thread& one, bool registers_saved) {
    if (!registers_saved) {
      look_at_stack(one, one.stack_low(), one.stack_high());
      return;
    }
    stack_extent used = extent_of(one);
    look_at_stack(one, used.low, used.high);
    os::saved_registers registers = os::registers_of(one.interrupted);
    look(registers.low, registers.high, root_kind::registers, one.id.load(std::memory_order_relaxed));
  });
}

}  // namespace rt::detail
