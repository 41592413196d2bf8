#include "runtime/sched/group_registry.h"

#include <algorithm>
#include <string>

#include "runtime/os/clock.h"
#include "runtime/os/futex.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/sharing_domain.h"

namespace rt::detail {

namespace {

struct ended_group {
  const sharing_domain* domain;
  std::string name;
  std::int64_t when;
};

// Ends are kept one by one up to this number; of more of them only the time is kept. 256: more tasks than a host has
// that fail and come back within the minutes for which this matters.
constexpr std::size_t most_ends = 256;

os::spin_lock registry_lock{os::lock_rank::none};
group* first_group RT_GUARDED_BY(registry_lock) = nullptr;
std::size_t group_count RT_GUARDED_BY(registry_lock) = 0;
std::int64_t last_end_not_kept RT_GUARDED_BY(registry_lock) = INT64_MIN;

// Made at the first use and never destroyed: a group may end when static objects are gone.
std::vector<ended_group>& ends() {
  static auto* const all = [] {
    auto* made = new std::vector<ended_group>;
    made->reserve(most_ends);
    return made;
  }();
  return *all;
}

void note_end(const group& one) noexcept {
  std::int64_t now = os::nanotime();
  std::string name = one.name;
  os::spin_guard guard(registry_lock);
  std::vector<ended_group>& all = ends();
  if (all.size() < most_ends) {
    all.push_back({&one.sharing(), std::move(name), now});
  } else {
    last_end_not_kept = std::max(last_end_not_kept, all.front().when);
    std::rotate(all.begin(), all.begin() + 1, all.end());
    all.back() = {&one.sharing(), std::move(name), now};
  }
}

}  // namespace

void group_registry::add(group& one) {
  ends();
  os::spin_guard guard(registry_lock);
  one.next_ = first_group;
  if (first_group != nullptr) first_group->previous_ = &one;
  first_group = &one;
  ++group_count;
}

void group_registry::remove(group& one) noexcept {
  {
    os::spin_guard guard(registry_lock);
    if (one.previous_ != nullptr) {
      one.previous_->next_ = one.next_;
    } else {
      first_group = one.next_;
    }
    if (one.next_ != nullptr) one.next_->previous_ = one.previous_;
    --group_count;
  }
  if (!one.sharing().name.empty()) note_end(one);
  while (std::uint32_t pins = one.pins_.load(std::memory_order_acquire)) os::futex_wait(one.pins_, pins, -1);
}

void group_registry::pin_all(std::vector<group*>& to) {
  // Room is made without the lock; groups that come meanwhile are seen at the next look.
  std::size_t expected = 0;
  {
    os::spin_guard guard(registry_lock);
    expected = group_count;
  }
  to.reserve(to.size() + expected);
  std::size_t room = to.capacity() - to.size();
  os::spin_guard guard(registry_lock);
  for (group* one = first_group; one != nullptr && room > 0; one = one->next_, --room) {
    one->pins_.fetch_add(1, std::memory_order_relaxed);
    to.push_back(one);
  }
}

void group_registry::unpin(group& one) noexcept {
  // The wake may come when the group is gone already: a futex is only an address.
  std::atomic<std::uint32_t>& pins = one.pins_;
  if (pins.fetch_sub(1, std::memory_order_release) == 1) os::futex_wake(pins, 1);  // pairs with remove
}

std::int64_t group_registry::last_end_without_successor(const sharing_domain& domain) noexcept {
  os::spin_guard guard(registry_lock);
  std::int64_t last = last_end_not_kept;
  for (const ended_group& one : ends()) {
    if (one.domain->shares_with(domain)) last = std::max(last, one.when);
  }
  return last;
}

void group_registry::note_successor(const group& one) noexcept {
  os::spin_guard guard(registry_lock);
  std::erase_if(ends(), [&](const ended_group& end) { return end.domain == &one.sharing() && end.name == one.name; });
}

}  // namespace rt::detail
