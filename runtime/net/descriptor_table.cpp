#include "runtime/net/descriptor_table.h"

#include <new>
#include <type_traits>

namespace rt::net::detail {

namespace {
constinit descriptor_table table;
}  // namespace

static_assert(std::is_trivially_destructible_v<descriptor_table>);

descriptor_table& shared_descriptors() noexcept { return table; }

poll_descriptor& descriptor_table::acquire() {
  while (true) {
    int segment;
    {
      os::spin_guard guard(lock_);
      if (free_ != nullptr) {
        poll_descriptor& one = *free_;
        free_ = one.next_free_;
        in_use_.fetch_add(1, std::memory_order_relaxed);
        return one;
      }
      segment = segments_made_;
    }
    if (segment == segment_count) throw std::bad_alloc();
    // Allocated without the lock, which is for a few instructions; of two that come here, one throws its segment away.
    std::uint32_t count = first_segment << segment;
    auto* fresh = new poll_descriptor[count];
    for (std::uint32_t i = 0; i < count; ++i) {
      fresh[i].index_ = start_of(segment) + i;
      fresh[i].next_free_ = i + 1 < count ? &fresh[i + 1] : nullptr;
    }
    bool used = false;
    {
      os::spin_guard guard(lock_);
      if (segments_made_ == segment) {
        fresh[count - 1].next_free_ = free_;
        free_ = fresh;
        segments_[segment].store(fresh, std::memory_order_release);  // pairs with at()
        ++segments_made_;
        used = true;
      }
    }
    if (!used) delete[] fresh;
  }
}

void descriptor_table::release(poll_descriptor& one) noexcept {
  // First the generation, so that late events find nobody; one that has passed the comparison already may still set a
  // word to ready, which the next user takes for a hint (invariant 2 in poll_descriptor.h).
  one.generation_.fetch_add(1, std::memory_order_seq_cst);
  for (poll_descriptor::half& each : one.halves_) {
    each.word.store(poll_descriptor::empty, std::memory_order_relaxed);
    each.deadline.store(no_deadline, std::memory_order_relaxed);
  }
  one.evicted_.store(false, std::memory_order_relaxed);
  one.registered_.store(false, std::memory_order_relaxed);
  os::spin_guard guard(lock_);
  one.next_free_ = free_;
  free_ = &one;
  in_use_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace rt::net::detail
