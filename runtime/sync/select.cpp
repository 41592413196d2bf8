// select, after Go's (runtime/select.go).
//
// Pass 1 looks at the channels one by one, in random order, each under its own lock, and takes the first that is ready:
// a case that was ready at its turn is a legitimate choice. Only when nothing is ready are all locks taken, in the
// order of the channels' addresses, for pass 2: look once more, else put a waiter into every channel's list and park. A
// waker claims the whole select by exchanging its `chosen` word, so exactly one case wins. Pass 3 takes the losers out
// of their lists.
//
// The race by name: *ready elsewhere*. One channel becomes ready after its turn in pass 1, then another one, ready
// until now, ceases to be before its turn. Each was found not ready at some moment, and yet there was none at which
// nothing was ready. So rt::otherwise needs pass 2 as well, unless there is one channel only.
#include "rt/select.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <utility>

#include "runtime/os/clock.h"
#include "runtime/sched/clock.h"
#include "runtime/sync/chan_core.h"

namespace rt::detail {

namespace {

// Selects of up to this many cases need no memory but the stack.
constexpr std::size_t cases_on_stack = 8;

inline __attribute__((always_inline)) chan_status try_case(select_case& one,
                                                           waiter*& served) noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
  return one.kind == select_kind::send ? one.channel->send_now(one.element, served)
                                       : one.channel->receive_now(one.element, served);
}

// The cases in random order, each order with the same chance (Fisher and Yates), made as far as it is asked for.
//
// Rejected: a walk from a random start in random steps. Of three ready cases beside an idle one, the one in the middle
// is found first half as often as it should be.
class random_order {
 public:
  /// The same number gives the same order.
  random_order(std::uint64_t random, std::size_t count) : count_(count), random_(random) {
    if (count > cases_on_stack) many_ = std::make_unique<std::uint32_t[]>(count);
    order_ = many_ != nullptr ? many_.get() : few_.data();
    std::iota(order_, order_ + count, std::uint32_t{0});
  }
  random_order(const random_order&) = delete;
  random_order& operator=(const random_order&) = delete;

  /// What at(0) will be, without making the order.
  static std::size_t first_of(std::uint64_t random, std::size_t count) noexcept { return below(next(random), count); }
  /// The case at `place`. The first time, places are asked for one after the other.
  std::size_t at(std::size_t place) noexcept {
    if (place == made_) {
      random_ = next(random_);
      std::size_t other = place + below(random_, count_ - place);
      std::swap(order_[place], order_[other]);
      ++made_;
    }
    return order_[place];
  }

 private:
  static std::uint64_t next(std::uint64_t random) noexcept {
    return random * 6364136223846793005 + 1442695040888963407;  // Knuth's generator; its upper half is good
  }
  static std::size_t below(std::uint64_t random, std::size_t limit) noexcept { return (random >> 32) * limit >> 32; }

  std::size_t count_;
  std::size_t made_ = 0;
  std::uint64_t random_;
  std::array<std::uint32_t, cases_on_stack> few_;
  std::unique_ptr<std::uint32_t[]> many_;
  std::uint32_t* order_;
};

class locked_select {
 public:
  locked_select(select_case* cases, std::size_t count, random_order& order)
      : cases_(cases), count_(count), order_(order) {
    if (count > cases_on_stack) {
      many_waiters_ = std::make_unique<waiter[]>(count);
      many_sorted_ = std::make_unique<chan_core*[]>(count);
    }
    sorted_ = many_sorted_ != nullptr ? many_sorted_.get() : few_sorted_.data();
    waiters_ = many_waiters_ != nullptr ? many_waiters_.get() : few_waiters_.data();
    for (std::size_t i = 0; i < count; ++i) {
      if (cases[i].channel != nullptr) sorted_[sorted_count_++] = cases[i].channel;
    }
    std::sort(sorted_, sorted_ + sorted_count_);
    sorted_count_ = static_cast<std::size_t>(std::unique(sorted_, sorted_ + sorted_count_) - sorted_);
  }

  /// The ready case that is taken; select_none when there was a moment at which none was ready.
  int poll() RT_NO_THREAD_SAFETY_ANALYSIS {
    lock_all();
    waiter* served = nullptr;
    int taken = take_ready(served);
    unlock_all();
    if (served != nullptr) tell(*served, wait_outcome::done);
    return taken;
  }

  int wait(green_thread& self, std::int64_t deadline) RT_NO_THREAD_SAFETY_ANALYSIS {
    lock_all();
    waiter* served = nullptr;
    if (int taken = take_ready(served); taken != select_none) {
      unlock_all();
      if (served != nullptr) tell(*served, wait_outcome::done);
      return taken;
    }
    // In random order as well: of two cases with one channel, the first in its list is the one that is chosen.
    for (std::size_t i = 0; i < count_; ++i) {
      std::size_t index = order_.at(i);
      select_case& one = cases_[index];
      if (one.channel == nullptr) continue;
      waiter& mine = waiters_[index];
      mine.owner = &self;
      mine.element = one.element;
      mine.select = &state_;
      mine.select_index = static_cast<int>(index);
      one.channel->queue_of(one.kind == select_kind::send).push(mine);
    }
    unlock_all();

    const std::uint64_t since = begin_block();
    wait_reason reason = sorted_count_ == 0 ? wait_reason::select_no_cases : wait_reason::select;
    while (state_.chosen.load(std::memory_order_acquire) == select_state::undecided) {  // pairs with claim
      bool over = deadline != no_deadline && runtime_now() >= deadline;
      if (over || cancellation_pending(self)) {
        int undecided = select_state::undecided;
        if (state_.chosen.compare_exchange_strong(undecided, select_state::gave_up, std::memory_order_acq_rel)) break;
        continue;
      }
      park_until(reason, deadline);
    }
    int chosen = state_.chosen.load(std::memory_order_relaxed);
    // The winner's waiter is out of its list, and its channel may be gone by the time that it is told (waiter.h).
    for (int i = 0; i < static_cast<int>(count_); ++i) {
      select_case& one = cases_[i];
      if (one.channel == nullptr || i == chosen) continue;
      os::spin_guard guard(one.channel->lock);
      one.channel->queue_of(one.kind == select_kind::send).remove(waiters_[i]);
    }
    if (chosen == select_state::gave_up) {
      note_block(since);
      throw_if_cancellation_pending(self);
      return select_none;
    }
    waiter& winner = waiters_[chosen];
    while (!is_told(winner)) park(reason);  // the teller is on its way
    note_block(since);
    bool done = winner.outcome.load(std::memory_order_relaxed) == wait_outcome::done;
    cases_[chosen].status = done ? chan_status::ok : chan_status::closed;
    return chosen;
  }

 private:
  // Under all locks. The caller tells `served`, if any, when it has given them up.
  int take_ready(waiter*& served) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      std::size_t index = order_.at(i);
      select_case& one = cases_[index];
      if (one.channel == nullptr) continue;
      one.status = try_case(one, served);
      if (one.status != chan_status::would_block) return static_cast<int>(index);
    }
    return select_none;
  }
  void lock_all() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = 0; i < sorted_count_; ++i) sorted_[i]->lock.lock();
  }
  void unlock_all() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = sorted_count_; i > 0; --i) sorted_[i - 1]->lock.unlock();
  }

  select_case* cases_;
  std::size_t count_;
  random_order& order_;
  std::size_t sorted_count_ = 0;
  select_state state_;
  std::array<waiter, cases_on_stack> few_waiters_;
  std::array<chan_core*, cases_on_stack> few_sorted_;
  std::unique_ptr<waiter[]> many_waiters_;
  std::unique_ptr<chan_core*[]> many_sorted_;
  chan_core** sorted_;
  waiter* waiters_;
};

// All but the first look at the first case.
__attribute__((noinline)) int select_rest(select_case* cases, std::size_t count, std::int64_t deadline, bool poll,
                                          std::uint64_t random) {
  random_order order(random, count);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t index = order.at(i);
    select_case& one = cases[index];
    if (i == 0 || one.channel == nullptr) continue;
    waiter* served = nullptr;
    chan_status status;
    {
      os::spin_guard guard(one.channel->lock);
      status = try_case(one, served);
    }
    if (served != nullptr) tell(*served, wait_outcome::done);
    if (status == chan_status::would_block) continue;
    one.status = status;
    return static_cast<int>(index);
  }
  if (poll) return count > 1 ? locked_select(cases, count, order).poll() : select_none;
  green_thread* self = require_green_thread("rt::select");
  return locked_select(cases, count, order).wait(*self, deadline);
}

}  // namespace

// Where many cases are ready the first look finds one, without making an order, in one critical section.
int select_wait(select_case* cases, std::size_t count, std::int64_t deadline, bool poll) {
  worker* self = enter_operation();
  std::uint64_t random = self != nullptr ? self->next_random() : os::cycles();
  if (count == 0) return select_rest(cases, count, deadline, poll, random);
  std::size_t index = random_order::first_of(random, count);
  select_case& one = cases[index];
  if (one.channel != nullptr) {
    if (self != nullptr) os::enter_first_critical(*self);
    waiter* served = nullptr;
    one.channel->lock.lock_inside();
    chan_status status = try_case(one, served);
    one.channel->lock.unlock_inside();
    if (served != nullptr) tell_within(self, *served, wait_outcome::done);
    end_operation(self);
    if (status != chan_status::would_block) {
      one.status = status;
      return static_cast<int>(index);
    }
  }
  return select_rest(cases, count, deadline, poll, random);
}

}  // namespace rt::detail
