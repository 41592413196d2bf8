// select, after Go's (runtime/select.go).
//
// Pass 1 looks at the channels one by one, in random order, each under its own lock, and takes the first that is ready.
// That is enough: a case that was ready at its turn is a legitimate choice, and with rt::otherwise each case was found
// not ready at some moment of the call. Only when nothing is ready are all locks taken, in the order of the channels'
// addresses, for pass 2: look once more, else put a waiter into every channel's list and park. A waker claims the whole
// select by exchanging its `chosen` word, so exactly one case wins. Pass 3 takes the losers out of their lists.
#include "rt/select.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "runtime/os/clock.h"
#include "runtime/sync/chan_core.h"

namespace rt::detail {

namespace {

// Selects of up to this many cases need no memory but the stack.
constexpr std::size_t cases_on_stack = 8;

chan_status try_case(select_case& one, waiter*& served) noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
  return one.kind == select_kind::send ? one.channel->send_now(one.element, served)
                                       : one.channel->receive_now(one.element, served);
}

// A walk over all cases in random order: from a random start in steps that are coprime with the number.
class random_order {
 public:
  random_order(worker* self, std::size_t count) noexcept : count_(count) {
    std::uint64_t random = self != nullptr ? self->next_random() : os::cycles();
    place_ = count == 0 ? 0 : random % count;
    step_ = 1;
    if (count > 2) {
      step_ = (random >> 8) % count;
      while (std::gcd(step_, count) != 1) ++step_;
    } else if (count == 2) {
      place_ = (random >> 7) & 1;
    }
  }
  std::size_t next() noexcept {
    std::size_t place = place_;
    place_ += step_;
    while (place_ >= count_) place_ -= count_;
    return place;
  }

 private:
  std::size_t count_, place_, step_;
};

class parked_select {
 public:
  parked_select(select_case* cases, std::size_t count) : cases_(cases), count_(count) {
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

  int wait(green_thread& self, std::int64_t deadline) RT_NO_THREAD_SAFETY_ANALYSIS {
    lock_all();
    random_order order(current_worker(), count_);
    for (std::size_t i = 0; i < count_; ++i) {
      std::size_t index = order.next();
      select_case& one = cases_[index];
      if (one.channel == nullptr) continue;
      waiter* served = nullptr;
      chan_status status = try_case(one, served);
      if (status == chan_status::would_block) continue;
      unlock_all();
      if (served != nullptr) tell(*served, wait_outcome::done);
      one.status = status;
      return static_cast<int>(index);
    }
    for (std::size_t i = 0; i < count_; ++i) {
      select_case& one = cases_[i];
      if (one.channel == nullptr) continue;
      waiter& mine = waiters_[i];
      mine.owner = &self;
      mine.element = one.element;
      mine.select = &state_;
      mine.select_index = static_cast<int>(i);
      one.channel->queue_of(one.kind == select_kind::send).push(mine);
    }
    unlock_all();

    wait_reason reason = sorted_count_ == 0 ? wait_reason::select_no_cases : wait_reason::select;
    while (state_.chosen.load(std::memory_order_acquire) == select_state::undecided) {  // pairs with claim
      bool over = deadline != no_deadline && os::nanotime() >= deadline;
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
      throw_if_cancellation_pending(self);
      return select_none;
    }
    waiter& winner = waiters_[chosen];
    while (!is_told(winner)) park(reason);  // the teller is on its way
    bool done = winner.outcome.load(std::memory_order_relaxed) == wait_outcome::done;
    cases_[chosen].status = done ? chan_status::ok : chan_status::closed;
    return chosen;
  }

 private:
  void lock_all() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = 0; i < sorted_count_; ++i) sorted_[i]->lock.lock();
  }
  void unlock_all() noexcept RT_NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = sorted_count_; i > 0; --i) sorted_[i - 1]->lock.unlock();
  }

  select_case* cases_;
  std::size_t count_;
  std::size_t sorted_count_ = 0;
  select_state state_;
  std::array<waiter, cases_on_stack> few_waiters_;
  std::array<chan_core*, cases_on_stack> few_sorted_;
  std::unique_ptr<waiter[]> many_waiters_;
  std::unique_ptr<chan_core*[]> many_sorted_;
  chan_core** sorted_;
  waiter* waiters_;
};

}  // namespace

int select_wait(select_case* cases, std::size_t count, std::int64_t deadline, bool poll) {
  enter_operation();
  if (count > 0) {
    random_order order(current_worker(), count);
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t index = order.next();
      select_case& one = cases[index];
      if (one.channel == nullptr) continue;
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
  }
  if (poll) return select_none;
  green_thread* self = require_green_thread("rt::select");
  return parked_select(cases, count).wait(*self, deadline);
}

}  // namespace rt::detail
