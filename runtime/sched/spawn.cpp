// Starting green threads and reusing the ended ones.
#include <algorithm>
#include <array>
#include <string>
#include <system_error>

#include "rt/go.h"
#include "rt/usage_error.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/housekeeper.h"
#include "runtime/sched/scan_list.h"
#include "runtime/sched/scheduler.h"

namespace rt {

out_of_green_threads::out_of_green_threads(std::uint64_t limit)
    : std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                        "rt::go: the task has as many green threads as it may, " + std::to_string(limit) +
                            " (limits.green_threads of its configuration); start fewer at a time, with an "
                            "rt::semaphore for instance, or raise the limit"),
      limit_(limit) {}

namespace detail {

namespace {

// Ended green threads that a P keeps for itself. Half of them go to the pool, where other Ps find them, when there are
// more, and as many come from it when there is none: one lock for 32, where each on its own would take the lock twice.
constexpr std::uint32_t most_free = 64;
constexpr std::uint32_t moved_at_once = most_free / 2;
// Ids are handed to Ps in batches (Go's number).
constexpr std::uint64_t id_batch = 16;
// What a closure may take of the stack: the rest is for the function.
constexpr std::size_t largest_closure_part = 4;

group& group_for_new(worker* self, cancel_domain* domain) noexcept {
  if (domain != nullptr) return *domain->owner;
  if (self != nullptr && self->current != nullptr) return *self->current->member_of.load(std::memory_order_relaxed);
  return the_scheduler()->default_group();
}

stack_slot slot_of(const green_thread& one) noexcept {
  return {one.stack_base, one.slot_size(), stack_pool::guard_size(one.size_class), one.size_class, one.slot_index};
}

// No constructor: a walker (cancel, dump) may be reading the descriptor, which is zero pages or what the last green
// thread here left (green_thread.h).
green_thread* green_thread_in(const stack_slot& slot) noexcept {
  green_thread* one = descriptor_of(slot.base, slot.size, slot.index);
  one->stack_base = slot.base;
  one->size_class = slot.size_class;
  one->slot_index = slot.index;
  return one;
}

// Counts a start in the group and gives it a number. In a critical section of `self`, unless that is null.
inline std::uint64_t begin_counted(scheduler& the, worker* self, group& owner, bool is_counted) noexcept {
  if (processor* mine = self == nullptr ? nullptr : self->usable_proc(); mine != nullptr) {
    processor& p = *mine;
    if (p.next_id == p.end_id) {
      p.next_id = the.take_ids(id_batch);
      p.end_id = p.next_id + id_batch;
    }
    if (is_counted) [[likely]] {
      bump(p.created);
      std::atomic<std::uint64_t>& created = owner.shards[p.id].created;
      created.store(created.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // pairs with group::live
    }
    return p.next_id++;
  }
  if (is_counted) {
    the.counters().created_outside.fetch_add(1, std::memory_order_relaxed);
    owner.outside.created.fetch_add(1, std::memory_order_release);  // pairs with group::live
  }
  return the.take_ids(1);
}

inline void end_counted(processor& p, group& owner) noexcept {
  bump(p.ended);
  // Release: pairs with group::live; whoever sees the group empty sees all that its green threads did.
  owner.shards[p.id].ended.store(owner.shards[p.id].ended.load(std::memory_order_relaxed) + 1,
                                 std::memory_order_release);
}

void push_free(processor& p, green_thread& one) noexcept {
  one.link = p.free_first;
  p.free_first = &one;
  ++p.free_count;
}

green_thread* pop_free(processor& p) noexcept {
  green_thread* one = p.free_first;
  p.free_first = one->link;
  --p.free_count;
  return one;
}

// An ended green thread of the class: the P's own, or one of those that the pool has. Null when neither has any.
green_thread* take_free(processor& p, std::uint32_t size_class) noexcept {
  if (p.free_first != nullptr) return p.free_first->size_class == size_class ? pop_free(p) : nullptr;
  std::array<stack_slot, moved_at_once> slots;
  const std::size_t count = stacks().take_cached(size_class, slots);
  if (count == 0) return nullptr;
  for (std::size_t i = count; i > 1; --i) push_free(p, *green_thread_in(slots[i - 1]));
  return green_thread_in(slots[0]);
}

}  // namespace

green_thread* scheduler::new_green_thread(worker* self, group* counted, std::size_t stack_size,
                                          const char** reason) noexcept {
  std::uint32_t size_class = stack_pool::class_of(stack_size);
  if (size_class == stack_pool::class_count) {
    *reason = "the largest stack is 64 MiB";
    return nullptr;
  }
  // Taking from the P's own list is a critical section; the pool has locks of its own.
  if (self != nullptr) os::enter_critical(*self);
  processor* p = self == nullptr ? nullptr : self->usable_proc();
  if (counted != nullptr && (p == nullptr ? counted->has_green_thread_limit() : counted->is_look_due(p->id)))
      [[unlikely]] {
    if (self != nullptr) os::leave_critical(*self);
    return new_counted_green_thread(self, *counted, stack_size, reason);
  }
  green_thread* one = p == nullptr ? nullptr : take_free(*p, size_class);
  if (self != nullptr) os::leave_critical(*self);
  if (one != nullptr) return one;
  stack_slot slot;
  if (!stacks().take(size_class, slot, reason)) return nullptr;
  return green_thread_in(slot);
}

// Apart, so that those who need not look do not pay for what this keeps in registers.
[[gnu::noinline]] green_thread* scheduler::new_counted_green_thread(worker* self, group& counted,
                                                                    std::size_t stack_size,
                                                                    const char** reason) noexcept {
  if (counted.admit_green_thread(self)) return new_green_thread(self, nullptr, stack_size, reason);
  *reason = nullptr;
  return nullptr;
}

void scheduler::recycle(worker& self, green_thread& one) noexcept {
  one.flow.sanitizer.end();
  one.where.store(phase::unused, std::memory_order_relaxed);
  group* owner = one.member_of.load(std::memory_order_relaxed);
  processor& p = *self.p;
  if (one.keeps_house.load(std::memory_order_relaxed) != housekeeping::none) [[unlikely]] {
    owner->housekeepers.end();
  } else {
    end_counted(p, *owner);
  }
  if (p.free_first != nullptr && p.free_first->size_class != one.size_class) {
    stacks().give(slot_of(one));
    return;
  }
  if (p.free_count == most_free) {
    std::array<stack_slot, moved_at_once> slots;
    for (stack_slot& slot : slots) slot = slot_of(*pop_free(p));
    stacks().give(slots);
  }
  push_free(p, one);
}

void throw_null_function() { throw usage_error("rt::go: the function is null; give it something to call"); }

void scheduler::give_free_back(processor& p) noexcept {
  while (p.free_first != nullptr) stacks().give(slot_of(*pop_free(p)));
}

namespace {

spawn_slot prepare(std::size_t closure_size, std::size_t closure_align, void (*entry)(void*), const go_options& options,
                   bool is_counted) {
  scheduler* the = the_scheduler();
  if (the == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "rt::go: no runtime is running; call it inside rt::run");
  }
  worker* self = current_worker();
  group& owner = group_for_new(self, nullptr);
  std::size_t size = options.stack_size;
  if (size == 0) {
    size = owner.stack_size;
    if (size == 0) size = the->default_stack_size();
  }
  // A closure that does not fit well gets a larger stack.
  while (closure_size + closure_align > size / largest_closure_part) size *= 2;
  const char* reason = nullptr;
  green_thread* one = the->new_green_thread(self, is_counted ? &owner : nullptr, size, &reason);
  if (one == nullptr) {
    if (reason == nullptr) throw out_of_green_threads(owner.green_threads.most.load(std::memory_order_relaxed));
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            std::string("rt::go: no stack of ") + std::to_string(size) + " bytes: " + reason);
  }
  one->entry = entry;
  one->name.store(options.name, std::memory_order_relaxed);
  auto top = reinterpret_cast<std::uintptr_t>(one->stack_high()) - closure_size;
  top &= ~(std::max<std::uintptr_t>(closure_align, 16) - 1);
  one->closure = reinterpret_cast<void*>(top);
  // What the closure will hold may soon be nowhere else (moved into it): a collector scans it from here on.
  prepare_context(one->flow, one->closure);
  one->park.store(park_word::active, std::memory_order_relaxed);
  one->where.store(phase::prepared, std::memory_order_release);  // pairs with the collector's walk over all slots
  return {one, one->closure};
}

}  // namespace

spawn_slot spawn_prepare(std::size_t closure_size, std::size_t closure_align, void (*entry)(void*),
                         const go_options& options) {
  return prepare(closure_size, closure_align, entry, options, true);
}

spawn_slot prepare_housekeeper(std::size_t closure_size, std::size_t closure_align, void (*entry)(void*),
                               const go_options& options) {
  return prepare(closure_size, closure_align, entry, options, false);
}

void spawn_abandon(void* green_thread_pointer) noexcept {
  auto& one = *static_cast<green_thread*>(green_thread_pointer);
  one.where.store(phase::unused, std::memory_order_relaxed);
  stacks().give(slot_of(one));
}

namespace {

void start(green_thread& one, cancel_domain* domain, housekeeping keeps_house) noexcept {
  scheduler& the = *the_scheduler();
  worker* self = current_worker();
  group& owner = group_for_new(self, domain);
  one.member_of.store(&owner, std::memory_order_relaxed);
  one.domain = domain != nullptr ? domain : &owner.domain;
  one.keeps_house.store(keeps_house, std::memory_order_relaxed);
  one.shield = 0;
  one.bound = nullptr;
  one.thread_locks = 0;
  one.os_locks = 0;
  one.caught_exceptions = nullptr;
  one.uncaught_exceptions = 0;
  one.waits_for.store(wait_reason::none, std::memory_order_relaxed);
  char* low = one.stack_low();
  one.flow.sanitizer.begin(low, static_cast<std::size_t>(static_cast<char*>(one.closure) - low));
  if (self != nullptr) os::enter_critical(*self);
  one.id.store(begin_counted(the, self, owner, keeps_house == housekeeping::none), std::memory_order_relaxed);
  if (domain != nullptr && domain->parent != nullptr) {
    domain->join(one);
  }
  // scan_list.h: who has no P may not know that the list is open.
  if (self == nullptr || self->usable_proc() == nullptr || ran_since_scan.is_open()) [[unlikely]]
    ran_since_scan.add(one);
  if (self != nullptr) {
    the.make_ready_within(*self, one);
    os::leave_critical(*self);
  } else {
    the.make_ready(nullptr, one);
  }
  // One that starts others without end would never leave its P otherwise. (Functions of timers run on no green thread.)
  if (self != nullptr && self->current != nullptr) poll_attention(self);
}

}  // namespace

void spawn_start(void* green_thread_pointer, cancel_domain* domain) noexcept {
  start(*static_cast<green_thread*>(green_thread_pointer), domain, housekeeping::none);
}

void admit_coroutine(group& of) {
  worker* self = current_worker();
  if (self != nullptr) os::enter_critical(*self);
  processor* p = self == nullptr ? nullptr : self->usable_proc();
  const bool is_look_due = p == nullptr ? of.has_green_thread_limit() : of.is_look_due(p->id);
  if (self != nullptr) os::leave_critical(*self);
  if (is_look_due && !of.admit_green_thread(self)) {
    throw out_of_green_threads(of.green_threads.most.load(std::memory_order_relaxed));
  }
}

std::uint64_t count_coroutine(group& of) noexcept {
  worker* self = current_worker();
  if (self != nullptr) os::enter_critical(*self);
  const std::uint64_t id = begin_counted(*the_scheduler(), self, of, true);
  if (self != nullptr) os::leave_critical(*self);
  return id;
}

void count_ended_coroutine(group& of) noexcept {
  worker& self = enter_with_proc();
  end_counted(*self.p, of);
  os::leave_critical(self);
}

void start_housekeeper(void* green_thread_pointer, group& of, housekeeping at_the_end) noexcept {
  start(*static_cast<green_thread*>(green_thread_pointer), &of.domain, at_the_end);
}

}  // namespace detail

}  // namespace rt
