#include "runtime/sched/cancel_domain.h"

#include <utility>
#include <vector>

#include "runtime/sched/coroutine_crew.h"
#include "runtime/sched/green_thread.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

cancel_domain::cancel_domain(cancel_domain& above) noexcept : owner(above.owner), parent(&above) {
  os::spin_guard guard(above.lock);
  cancelled.store(above.cancelled.load(std::memory_order_relaxed), std::memory_order_relaxed);
  next_sibling = above.first_child;
  if (next_sibling != nullptr) next_sibling->previous_sibling = this;
  above.first_child = this;
}

cancel_domain::~cancel_domain() {
  if (parent == nullptr) return;
  os::spin_guard guard(parent->lock);
  if (previous_sibling != nullptr) {
    previous_sibling->next_sibling = next_sibling;
  } else {
    parent->first_child = next_sibling;
  }
  if (next_sibling != nullptr) next_sibling->previous_sibling = previous_sibling;
}

// The members are woken with the lock held: a member that ends takes the lock to leave, so each is alive here.
void cancel_domain::mark() noexcept {
  os::spin_guard guard(lock);
  cancelled.store(true, std::memory_order_release);  // pairs with is_cancelled; the unparks below order it for sleepers
  for (green_thread* member = first_member; member != nullptr; member = member->domain_next) unpark(*member);
  for (cancel_domain* child = first_child; child != nullptr; child = child->next_sibling) child->mark();
}

void cancel_domain::cancel(const green_thread* later) noexcept {
  if (cancelled.load(std::memory_order_acquire)) return;
  mark();
  if (parent != nullptr) return;
  // After the flag: whoever waits with a context of the task leaves by rt::cancelled. Before the green threads are
  // woken: one that waits for such a context finds that ended as well.
  owner->cancel_context();
  // A root: its green threads and its coroutines are in no list. One that has ended meanwhile, or serves another group by now, wakes for
  // nothing (park.h, "unpark of a dead one").
  scheduler* the = the_scheduler();
  bool in_order = the != nullptr && the->is_shuffled();
  std::vector<green_thread*> found;
  stacks().for_each_slot([&](const stack_slot& slot) {
    green_thread* one = descriptor_of(slot.base, slot.size, slot.index);
    if (one->member_of.load(std::memory_order_relaxed) != owner) return;
    if (!is_alive(one->where.load(std::memory_order_relaxed)) || one == later) return;
    if (in_order) {
      found.push_back(one);
    } else {
      unpark(*one);
    }
  });
  scheduler::unpark_in_order(found);
  coroutines().for_each([&](coroutine_record& one) {
    // Acquire pairs with its start. One that has ended meanwhile, or is another task's by now, wakes for nothing.
    if (one.crew.load(std::memory_order_acquire) == &owner->crew) unpark(one);
  });
}

void cancel_domain::join(green_thread& member) noexcept {
  os::spin_guard guard(lock);
  member.in_domain_list = true;
  member.domain_previous = nullptr;
  member.domain_next = first_member;
  if (first_member != nullptr) first_member->domain_previous = &member;
  first_member = &member;
  ++member_count;
}

void cancel_domain::leave(green_thread& member) noexcept {
  // The waiter destroys the domain once it has seen, under the lock, that no member is left. The unlock is therefore
  // the last touch; the waiter's descriptor stays in memory whatever happens.
  green_thread* to_wake = nullptr;
  {
    os::spin_guard guard(lock);
    if (member.domain_previous != nullptr) {
      member.domain_previous->domain_next = member.domain_next;
    } else {
      first_member = member.domain_next;
    }
    if (member.domain_next != nullptr) member.domain_next->domain_previous = member.domain_previous;
    member.in_domain_list = false;
    if (--member_count == 0) to_wake = waiter;
  }
  if (to_wake != nullptr) unpark(*to_wake);
}

void cancel_domain::fail(std::exception_ptr error) noexcept {
  {
    os::spin_guard guard(lock);
    if (failure == nullptr) failure = std::move(error);
  }
  cancel();
}

}  // namespace rt::detail
