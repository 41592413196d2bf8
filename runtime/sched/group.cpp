#include "runtime/sched/group.h"

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/cpu_time.h"
#include "runtime/sched/fair_queue.h"
#include "runtime/sched/group_registry.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scan_list.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/sharing_domain.h"

namespace rt::detail {

group::group(std::string group_name, std::size_t default_stack_size, exception_hook hook, void* owning)
    : name(std::move(group_name)),
      owner(owning),
      stack_size(default_stack_size),
      on_exception(hook),
      domain(this),
      shards(new shard[most_procs]),
      connections(std::make_shared<connection_account>()),
      sharing_(&shared_by_all()) {
  group_registry::add(*this);
}

group::~group() {
  end_housekeepers();
  if (live() != 0) os::fatal("the group \"%s\" was destroyed while it had green threads", name.c_str());
  group_registry::remove(*this);
  set_cpu_quota(0);
  fair_queue::set_idle(share, default_weight, share_class::normal);
  if (attached_values* mine = values.load(std::memory_order_acquire); mine != nullptr) {
    mine->destroy();
    mine->release();
  }
  if (attached_context* mine = context.load(std::memory_order_acquire); mine != nullptr) mine->release();
}

// The race by name: *cancel against the first context*. Both sides write, then read what the other one writes (the
// pointer, the domain's flag), with a full fence between: at least one of them sees the other, and cancelling twice is
// harmless.
attached_context* group::install_context(attached_context& fresh) noexcept {
  attached_context* before = nullptr;
  if (!context.compare_exchange_strong(before, &fresh, std::memory_order_seq_cst)) return before;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (domain.is_cancelled()) fresh.cancel();
  return &fresh;
}

void group::cancel_context() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (attached_context* mine = context.load(std::memory_order_seq_cst); mine != nullptr) mine->cancel();
}

bool group::destroy_values() noexcept {
  attached_values* mine = values.load(std::memory_order_acquire);  // pairs with the one that installed it
  return mine != nullptr && mine->destroy();
}

void group::watch(sharing_domain& whose, deadlock_hook hook) noexcept {
  sharing_.store(&whose, std::memory_order_relaxed);
  on_deadlock_.store(hook, std::memory_order_relaxed);
  group_registry::note_successor(*this);
}

std::uint64_t group::live() const noexcept {
  // All ends before all beginnings: see the head of group.h for what equality proves.
  std::uint64_t ended = outside.ended.load(std::memory_order_acquire);
  for (int i = 0; i < most_procs; ++i) ended += shards[i].ended.load(std::memory_order_acquire);
  std::uint64_t begun = created();
  return begun > ended ? begun - ended : 0;
}

std::uint64_t group::created() const noexcept {
  std::uint64_t begun = outside.created.load(std::memory_order_acquire);
  for (int i = 0; i < most_procs; ++i) begun += shards[i].created.load(std::memory_order_acquire);
  return begun;
}

double group::cpu_seconds() const noexcept {
  return static_cast<double>(cycles()) / os::cycles_per_nanosecond() * 1e-9;
}

std::uint64_t group::cycles() const noexcept {
  std::uint64_t sum = outside.cycles.load(std::memory_order_relaxed);
  scheduler* the = the_scheduler();
  int made = the == nullptr ? 0 : the->proc_limit();
  for (int i = 0; i < most_procs; ++i) {
    const std::atomic<std::uint64_t>& charged = shards[i].cycles;
    sum += i < made ? the->proc(i).running.read(*this, charged) : charged.load(std::memory_order_relaxed);
  }
  // A slice that runs is taken as it stands; when it ends, time that the kernel gave to others is deducted.
  std::uint64_t before = reported_cycles_.load(std::memory_order_relaxed);
  while (before < sum && !reported_cycles_.compare_exchange_weak(before, sum, std::memory_order_relaxed)) {
  }
  return before < sum ? sum : before;
}

group::queue_waits group::waits() const noexcept {
  std::uint64_t count = 0;
  std::uint64_t nanoseconds = 0;
  for (int i = 0; i < most_procs; ++i) {
    count += shards[i].waits.load(std::memory_order_relaxed);
    nanoseconds += shards[i].wait_nanoseconds.load(std::memory_order_relaxed);
  }
  return {count, static_cast<double>(nanoseconds) * 1e-9};
}

void group::set_share(std::uint32_t weight, share_class kind) noexcept {
  if (scheduler* the = the_scheduler(); the != nullptr) {
    the->shares().change(share, weight, kind);
  } else {
    fair_queue::set_idle(share, weight, kind);
  }
}

namespace {

std::int64_t now_for_caller() noexcept { return current_green_thread() != nullptr ? runtime_now() : os::nanotime(); }

// Waits until `condition` holds or `deadline` has passed; which.
template <class Condition>
bool wait_until(std::int64_t deadline, const Condition& condition) noexcept {
  constexpr std::int64_t first_pause = 50'000;
  constexpr std::int64_t longest_pause = 10'000'000;
  std::int64_t pause = first_pause;
  while (!condition()) {
    std::int64_t now = now_for_caller();
    if (now >= deadline) return false;
    std::int64_t until = deadline - now < pause ? deadline : now + pause;
    if (current_green_thread() != nullptr) {
      while (runtime_now() < until) park_until(wait_reason::other, until);
    } else {
      timespec length{(until - now) / 1'000'000'000, (until - now) % 1'000'000'000};
      nanosleep(&length, nullptr);
    }
    if (pause < longest_pause) pause *= 2;
  }
  return true;
}

// How long the end of a group waits for housekeepers that wait for something, in nanoseconds: long beside a goodbye on
// the network, short beside the seconds that the stop of a task may take.
constexpr std::int64_t patience_with_waiting = 100'000'000;
// And how often it then looks for one that waits.
constexpr std::int64_t between_looks = 10'000'000;

template <class Act>
void for_each_housekeeper(const group& of, const Act& act) noexcept {
  stacks().for_each_slot([&](const stack_slot& slot) {
    green_thread& one = *descriptor_of(slot.base, slot.size, slot.index);
    if (one.keeps_house.load(std::memory_order_relaxed) == housekeeping::none) return;
    if (one.member_of.load(std::memory_order_relaxed) != &of) return;
    // Acquire: pairs with the store at its start. One that has ended meanwhile wakes for nothing (park.h).
    if (is_alive(one.where.load(std::memory_order_acquire))) act(one);
  });
}

}  // namespace

bool group::wait_until_at_most(std::uint64_t remaining, std::int64_t deadline) const noexcept {
  return wait_until(deadline, [&] { return live() <= remaining; });
}

bool group::wait_until_all_ended(std::int64_t deadline) const noexcept {
  // A green thread has no housekeepers to start, so the second look at live() decides.
  return wait_until(deadline, [&] { return live() == 0 && housekeepers.count() == 0 && live() == 0; });
}

void group::end_housekeepers() noexcept {
  housekeepers.close();
  auto have_left = [&] { return housekeepers.count() == 0; };
  if (have_left()) return;
  for_each_housekeeper(*this, [](green_thread& one) { unpark(one); });
  std::int64_t patience = patience_with_waiting;
  while (!wait_until(now_for_caller() + patience, have_left)) {
    scheduler* the = the_scheduler();
    if (the != nullptr && &the->default_group() != this) hand_over_waiting(the->default_group());
    patience = between_looks;
  }
}

// The stack of one that waits is at rest, and while it is claimed as for a scan nobody runs it. What it waits for, its
// timer and its contexts do not depend on the group; scopes do, by their domains, so one that has a scope stays until
// that has ended (its green threads are cancelled ones of this group).
void group::hand_over_waiting(group& heir) noexcept {
  for_each_housekeeper(*this, [&](green_thread& one) {
    if (one.keeps_house.load(std::memory_order_relaxed) != housekeeping::moves) return;
    os::enter_critical();
    hand_over_if_waiting(one, heir);
    os::leave_critical();
  });
}

void group::hand_over_if_waiting(green_thread& one, group& heir) noexcept {
  if (!park_word::begin_scan(one.park)) return;
  // Only now it is certain whose it is: its slot may have been used again.
  bool is_mine = one.member_of.load(std::memory_order_relaxed) == this &&
                 one.keeps_house.load(std::memory_order_relaxed) == housekeeping::moves && one.domain == &domain;
  if (is_mine) {
    os::spin_guard guard(domain.lock);
    is_mine = domain.first_child == nullptr;
  }
  if (is_mine && heir.housekeepers.begin()) {
    one.member_of.store(&heir, std::memory_order_relaxed);
    one.domain = &heir.domain;
    housekeepers.end();
  }
  // Acquire and release of the word order all this with whoever runs it next.
  if (!park_word::end_scan(one.park)) return;
  if (ran_since_scan.is_open()) ran_since_scan.add(one);
  make_ready(one);
}

group* current_group() noexcept {
  green_thread* self = current_green_thread();
  return self == nullptr ? nullptr : self->member_of.load(std::memory_order_relaxed);
}

}  // namespace rt::detail
