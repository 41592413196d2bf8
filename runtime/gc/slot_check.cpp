// Where an rt::ref may lie: on the stack of a green thread, in an object of the collected heap that is looked into, in
// the data of the program or a plugin, in an exception. All else is memory of malloc, thread-local variables, or what
// somebody has mapped, where a reference keeps nothing alive.
//
// Every store is looked at, so this is slow beside an unchecked one; but only what is neither on the caller's stack nor
// in the heap needs more than a few comparisons.
#include "runtime/gc/slot_check.h"

#include <cstdint>

#include "runtime/gc/exceptions.h"
#include "runtime/gc/roots.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

struct wanted_slot {
  const char* address;
  bool found = false;

  static void look(void* self_pointer, root_range range) noexcept {
    auto& self = *static_cast<wanted_slot*>(self_pointer);
    if (self.address >= range.low && self.address < range.high) self.found = true;
  }
};

bool is_on_a_stack(const char* address) noexcept {
  bool found = false;
  stacks().for_each_slot([&](const stack_slot& slot) {
    const auto* low = static_cast<const char*>(slot.base);
    if (address >= low && address < low + slot.size) found = true;
  });
  return found;
}

}  // namespace

void check_slot(const void* slot, const void* value) noexcept {
  const green_thread* self = current_green_thread();
  if (self == nullptr || value == nullptr) return;
  const auto* address = static_cast<const char*>(slot);
  if (address >= self->stack_low() && address < self->stack_high()) return;
  if (object_place place; find_object(reinterpret_cast<std::uintptr_t>(slot), place)) {
    if (place.in->kind.load(std::memory_order_relaxed) != span_kind::plain) return;
    os::fatal(
        "gcverifyrefs: the rt::ref at %p lies in an object whose type says that it holds none (rt::noscan): it "
        "would not keep %p alive; take the rt::noscan of that type away",
        slot, value);
  }
  wanted_slot wanted{address};
  for_each_data_segment(&wanted_slot::look, &wanted);
  if (!wanted.found) for_each_exception(&wanted_slot::look, &wanted);
  if (wanted.found || is_on_a_stack(address)) return;
  os::fatal(
      "gcverifyrefs: the rt::ref at %p lies in memory that the collector does not see (of malloc or new, of a "
      "standard container, a thread-local variable): it would not keep %p alive; make what contains it with rt::make, "
      "use rt::vector or rt::map instead of the container, or rt::root<T> instead of rt::ref<T>",
      slot, value);
}

}  // namespace rt::detail
