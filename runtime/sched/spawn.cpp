// Starting green threads and reusing the ended ones.
#include <algorithm>
#include <string>
#include <system_error>

#include "rt/go.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// Ended green threads that a P keeps for itself. More go back to the pool, where other Ps find them.
constexpr std::uint32_t most_free = 64;
// Ids are handed to Ps in batches (Go's number).
constexpr std::uint64_t id_batch = 16;
// What a closure may take of the stack: the rest is for the function.
constexpr std::size_t largest_closure_part = 4;

group& group_for_new(worker* self, cancel_domain* domain) noexcept {
  if (domain != nullptr) return *domain->owner;
  if (self != nullptr && self->current != nullptr) return *self->current->member_of.load(std::memory_order_relaxed);
  return the_scheduler()->default_group();
}

void give_stack(const green_thread& one) noexcept {
  stacks().give(
      {one.stack_base, one.slot_size(), stack_pool::guard_size(one.size_class), one.size_class, one.slot_index});
}

}  // namespace

green_thread* scheduler::new_green_thread(worker* self, std::size_t stack_size, const char** reason) noexcept {
  std::uint32_t size_class = stack_pool::class_of(stack_size);
  if (size_class == stack_pool::class_count) {
    *reason = "the largest stack is 64 MiB";
    return nullptr;
  }
  processor* p = self == nullptr ? nullptr : self->p;
  if (p != nullptr && p->free_first != nullptr && p->free_first->size_class == size_class) {
    green_thread* one = p->free_first;
    p->free_first = one->link;
    --p->free_count;
    return one;
  }
  stack_slot slot;
  if (!stacks().take(size_class, slot, reason)) return nullptr;
  // No constructor: a walker (cancel, dump) may be reading the descriptor, which is zero pages or what the last green
  // thread here left (green_thread.h).
  green_thread* one = descriptor_of(slot.base, slot.size, slot.index);
  one->stack_base = slot.base;
  one->size_class = size_class;
  one->slot_index = slot.index;
  return one;
}

void scheduler::recycle(worker& self, green_thread& one) noexcept {
  one.flow.sanitizer.end();
  one.where.store(phase::unused, std::memory_order_relaxed);
  group* owner = one.member_of.load(std::memory_order_relaxed);
  processor& p = *self.p;
  bump(p.ended);
  // Release: pairs with group::live; whoever sees the group empty sees all that its green threads did.
  owner->shards[p.id].ended.store(owner->shards[p.id].ended.load(std::memory_order_relaxed) + 1,
                                  std::memory_order_release);
  if (p.free_count < most_free && (p.free_first == nullptr || p.free_first->size_class == one.size_class)) {
    one.link = p.free_first;
    p.free_first = &one;
    ++p.free_count;
    return;
  }
  give_stack(one);
}

spawn_slot spawn_prepare(std::size_t closure_size, std::size_t closure_align, void (*entry)(void*),
                         const go_options& options) {
  scheduler* the = the_scheduler();
  if (the == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "rt::go: no runtime is running; call it inside rt::run");
  }
  worker* self = current_worker();
  std::size_t size = options.stack_size;
  if (size == 0) {
    size = group_for_new(self, nullptr).stack_size;
    if (size == 0) size = the->default_stack_size();
  }
  // A closure that does not fit well gets a larger stack.
  while (closure_size + closure_align > size / largest_closure_part) size *= 2;
  const char* reason = nullptr;
  green_thread* one = the->new_green_thread(self, size, &reason);
  if (one == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            std::string("rt::go: no stack of ") + std::to_string(size) + " bytes: " + reason);
  }
  one->entry = entry;
  one->name.store(options.name, std::memory_order_relaxed);
  auto top = reinterpret_cast<std::uintptr_t>(one->stack_high()) - closure_size;
  top &= ~(std::max<std::uintptr_t>(closure_align, 16) - 1);
  one->closure = reinterpret_cast<void*>(top);
  return {one, one->closure};
}

void spawn_abandon(void* green_thread_pointer) noexcept {
  auto& one = *static_cast<green_thread*>(green_thread_pointer);
  give_stack(one);
}

void spawn_start(void* green_thread_pointer, cancel_domain* domain) noexcept {
  auto& one = *static_cast<green_thread*>(green_thread_pointer);
  scheduler& the = *the_scheduler();
  worker* self = current_worker();
  group& owner = group_for_new(self, domain);
  one.member_of.store(&owner, std::memory_order_relaxed);
  one.domain = domain != nullptr ? domain : &owner.domain;
  one.shield = 0;
  one.caught_exceptions = nullptr;
  one.uncaught_exceptions = 0;
  one.park.store(park_word::active, std::memory_order_relaxed);
  one.waits_for.store(wait_reason::none, std::memory_order_relaxed);
  prepare_context(one.flow, one.closure);
  char* low = one.stack_low();
  one.flow.sanitizer.begin(low, static_cast<std::size_t>(static_cast<char*>(one.closure) - low));
  if (self != nullptr && self->p != nullptr) {
    processor& p = *self->p;
    if (p.next_id == p.end_id) {
      p.next_id = the.take_ids(id_batch);
      p.end_id = p.next_id + id_batch;
    }
    one.id = p.next_id++;
    bump(p.created);
    owner.shards[p.id].created.store(owner.shards[p.id].created.load(std::memory_order_relaxed) + 1,
                                     std::memory_order_release);  // pairs with group::live
  } else {
    one.id = the.take_ids(1);
    the.counters().created_outside.fetch_add(1, std::memory_order_relaxed);
    owner.outside.created.fetch_add(1, std::memory_order_release);  // pairs with group::live
  }
  if (domain != nullptr && domain->parent != nullptr) {
    domain->join(one);
  }
  the.make_ready(self, one);
}

}  // namespace rt::detail
