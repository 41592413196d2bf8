#include "runtime/gc/mark_team.h"

#include <algorithm>

#include "runtime/gc/pacer.h"
#include "runtime/os/clock.h"
#include "runtime/os/futex.h"
#include "runtime/os/thread.h"
#include "runtime/os/thread_census.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// How long a member works until it rests, in nanoseconds of CPU time: less than what anybody notices.
constexpr std::int64_t burst = 250'000;
// How many times a member with nothing to do looks again before it sleeps until there is news, and for how long at most
// (ns): who is at roots, and green threads that help, tell nobody of what they leave in the pool.
constexpr int looks = 200;
constexpr std::int64_t longest_sleep = 1'000'000;

// The lowest byte of a turn is a number of members.
constexpr std::uint32_t one_turn = 256;

int dedicated_members() noexcept {
  int members = static_cast<int>(background_share * the_scheduler()->proc_count());
  return members < 1 ? 1 : members;
}

}  // namespace

mark_team::mark_team(mark_pool& pool) noexcept : pool_(pool) { members_[0].own = std::make_unique<marker>(pool); }

mark_team::~mark_team() {
  ending_.store(true, std::memory_order_relaxed);
  turn_.fetch_add(one_turn, std::memory_order_release);  // pairs with thread_main
  os::futex_wake(turn_, INT32_MAX);
  for (int i = 1; i < started_; ++i) pthread_join(members_[i].thread, nullptr);
}

void mark_team::prepare(int members) noexcept {
  if (members > most_members) members = most_members;
  while (started_ < members) {
    member& fresh = members_[started_];
    fresh.team = this;
    fresh.index = started_;
    fresh.own = std::make_unique<marker>(pool_);
    if (!os::start_thread(fresh.thread, &thread_main, &fresh)) return;
    ++started_;
  }
}

void* mark_team::thread_main(void* argument) noexcept {
  auto& self = *static_cast<member*>(argument);
  mark_team& team = *self.team;
  os::own_thread counted;
  os::prepare_worker_thread("rt-mark");
  std::uint32_t seen = 0;
  while (true) {
    std::uint32_t turn = team.turn_.load(std::memory_order_acquire);  // pairs with run
    if (turn == seen) {
      os::futex_wait(team.turn_, seen, -1);
      continue;
    }
    seen = turn;
    if (team.ending_.load(std::memory_order_relaxed)) return nullptr;
    if (static_cast<std::uint32_t>(self.index) >= turn % one_turn) continue;
    team.work(self);
    if (team.unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) os::futex_wake(team.unfinished_, 1);
  }
}

bool mark_team::run(const assignment& work, int members) noexcept {
  if (work.considerate) members = std::min(members, dedicated_members() + the_scheduler()->idle_proc_count());
  members = std::min(members, started_);
  work_ = &work;
  present_ = static_cast<std::size_t>(members);
  stopped_.store(false, std::memory_order_relaxed);
  waiting_.store(0, std::memory_order_relaxed);
  asleep_.store(false, std::memory_order_relaxed);
  unfinished_.store(static_cast<std::uint32_t>(members), std::memory_order_relaxed);
  if (members > 1) {
    std::uint32_t before = turn_.load(std::memory_order_relaxed);
    turn_.store((before / one_turn + 1) * one_turn + static_cast<std::uint32_t>(members),
                std::memory_order_release);  // pairs with thread_main
    os::futex_wake(turn_, INT32_MAX);
  }
  this->work(members_[0]);
  std::uint32_t left = unfinished_.fetch_sub(1, std::memory_order_acq_rel) - 1;
  while (left != 0) {
    os::futex_wait(unfinished_, left, -1);
    left = unfinished_.load(std::memory_order_acquire);  // pairs with the members' last words
  }
  return !stopped_.load(std::memory_order_relaxed) && !pool_.has_work();
}

void mark_team::tell_scanned(member& self) noexcept {
  std::uint64_t now = self.own->scanned_bytes();
  scanned_.fetch_add(now - self.told_scanned, std::memory_order_relaxed);
  self.told_scanned = now;
}

bool mark_team::enough(member& self) noexcept {
  tell_scanned(self);
  if (asleep_.load(std::memory_order_relaxed) && pool_.has_work()) tell_sleepers();
  if (stopped_.load(std::memory_order_relaxed)) return true;
  if (work_->until != INT64_MAX && os::nanotime() >= work_->until) return true;
  return work_->considerate && pause_for_others(self);
}

void mark_team::tell_sleepers() noexcept {
  // Acquire and release: pairs with sleep_until_news. Whichever exchange is later sees what the other side did before.
  if (!asleep_.exchange(false, std::memory_order_acq_rel)) return;
  news_.fetch_add(1, std::memory_order_release);  // pairs with sleep_until_news
  os::futex_wake(news_, INT32_MAX);
}

void mark_team::sleep_until_news() noexcept {
  std::uint32_t seen = news_.load(std::memory_order_acquire);  // pairs with tell_sleepers
  asleep_.exchange(true, std::memory_order_acq_rel);           // pairs with tell_sleepers; then looks once more
  if (pool_.has_work() || waiting_.load(std::memory_order_acquire) >= present_ ||
      stopped_.load(std::memory_order_relaxed)) {
    return;
  }
  os::futex_wait(news_, seen, longest_sleep);
}

// Rests so long that the collector's part of the CPU time of all Ps stays background_share, unless there are Ps with
// nothing to do. True when there are more of those than members for them: all begin anew.
bool mark_team::pause_for_others(member& self) noexcept {
  // The steady clock is asked after every few kilobytes, the other one, which is a system call, seldom.
  std::int64_t now = os::nanotime();
  if (now < self.no_rest_until) return false;
  std::int64_t used = os::thread_cpu_time() - self.burst_began;
  if (used < burst) {
    self.no_rest_until = now + burst - used;
    return false;
  }
  scheduler& the = *the_scheduler();
  int dedicated = dedicated_members();
  const auto present = static_cast<int>(present_);
  if (present < started_ && the.idle_proc_count() > present - dedicated) return true;
  if (self.index >= dedicated) {
    // One of those that are there for idle Ps. Others go on with what it has found.
    while (the.idle_proc_count() <= self.index - dedicated && !stopped_.load(std::memory_order_relaxed)) {
      self.own->flush();
      if (waiting_.load(std::memory_order_relaxed) != 0) break;  // somebody has nothing to do: the end is near
      os::futex_wait(unfinished_, unfinished_.load(std::memory_order_relaxed), 1'000'000);
    }
  } else if (the.idle_proc_count() == 0) {
    double part = background_share * the.proc_count() / dedicated;  // of one CPU, for each dedicated member
    if (part < 1) {
      auto rest = static_cast<std::int64_t>(static_cast<double>(used) * (1 / part - 1));
      os::futex_wait(turn_, turn_.load(std::memory_order_relaxed), rest);
    }
  }
  self.burst_began = os::thread_cpu_time();
  self.no_rest_until = os::nanotime() + burst;
  return false;
}

void mark_team::work(member& self) noexcept {
  std::int64_t began = self.burst_began = os::thread_cpu_time();
  self.no_rest_until = os::nanotime() + burst;
  marker& mine = *self.own;
  const assignment& todo = *work_;
  if (todo.roots != nullptr) todo.roots(todo.argument, mine, static_cast<std::size_t>(self.index), present_);
  auto is_enough = [&] { return enough(self); };
  auto hungry = [&] {
    return waiting_.load(std::memory_order_relaxed) != 0 ||
           (asked_.load(std::memory_order_relaxed) && asked_.exchange(false, std::memory_order_relaxed));
  };
  bool ends = false;
  while (!ends) {
    if (!mine.drain(is_enough, hungry)) {
      stopped_.store(true, std::memory_order_relaxed);
      tell_sleepers();
      break;
    }
    std::uint32_t waiting = waiting_.fetch_add(1, std::memory_order_acq_rel) + 1;
    for (int look = 0;; ++look) {
      if (pool_.has_work()) {
        waiting_.fetch_sub(1, std::memory_order_acq_rel);
        break;
      }
      // All at once have nothing: it is done. What one of them gave to the pool just before is seen by run().
      if (waiting >= present_ || stopped_.load(std::memory_order_relaxed)) {
        ends = true;
        tell_sleepers();
        break;
      }
      if (look < looks) {
        os::cpu_pause();
      } else {
        sleep_until_news();
      }
      waiting = waiting_.load(std::memory_order_acquire);
    }
  }
  mine.flush();
  tell_scanned(self);
  cpu_time_.fetch_add(os::thread_cpu_time() - began, std::memory_order_relaxed);
}

marker::counts mark_team::take_counts() noexcept {
  marker::counts all;
  for (int i = 0; i < started_; ++i) {
    marker::counts one = members_[i].own->take_counts();
    all.marked_bytes += one.marked_bytes;
    all.marked_objects += one.marked_objects;
    all.scanned_bytes += one.scanned_bytes;
  }
  return all;
}

}  // namespace rt::detail
