#include "bench/simulation/model.h"

#include <algorithm>
#include <array>
#include <utility>

namespace bench_simulation {

namespace {

// As in runtime/sched: fast_path.h, scheduler.cpp, run_queue.h; times in nanoseconds.
constexpr int most_runnext_in_a_row = 64;
constexpr std::uint32_t global_period = 61;
constexpr double check_interval = 20'000;
constexpr double poll_interval = 100'000;
constexpr double runnext_grace = 3'000;
constexpr int passes = 4;
constexpr std::uint64_t half_a_ring = 128;
// Events that one call of the poller returns at most (net/epoll_poller.cpp).
constexpr int events_a_call = 128;
// Lines that come with a green thread which last ran elsewhere: its descriptor and the top of its stack.
constexpr int lines_of_a_task = 4;
constexpr int slots_in_a_line = 8;

}  // namespace

model::model(int cores, const costs& price, std::uint64_t seed, policy rules) : price_(price), rules_(rules) {
  for (int i = 0; i < cores; ++i) {
    auto one = std::make_unique<core>();
    one->id = i;
    one->random = (seed + static_cast<std::uint64_t>(i)) * 0x9e3779b97f4a7c15U | 1;
    cores_.push_back(std::move(one));
  }
}

std::uint32_t model::random_number(core& self) noexcept {
  self.random ^= self.random << 13;
  self.random ^= self.random >> 7;
  self.random ^= self.random << 17;
  return static_cast<std::uint32_t>(self.random >> 16);
}

outcome model::run(workload& what) {
  what_ = &what;
  arrival_ = what.arrival(arrival_at_);
  arrivals_ = arrival_ != nullptr;
  for (int i = cores() - 1; i > 0; --i) idle_.push_back(i);
  core& first = at(0);
  first.idle = false;
  if (task* one = what.first(); one != nullptr) {
    ++found_.created;
    begin(first, *one);
  } else {
    first.doing = state::finding;
  }
  schedule(first);
  while (!events_.empty()) {
    const event next = events_.top();
    events_.pop();
    core& self = at(next.core);
    if (next.ticket != self.ticket) continue;  // it was woken before that time
    if (what.over(*this, self.now)) break;
    step(self);
    if (self.doing != state::asleep) schedule(self);
  }
  found_.left_spinning = static_cast<std::uint64_t>(spinning_);
  return found_;
}

void model::step(core& self) {
  switch (self.doing) {
    case state::running:
      return run_current(self);
    case state::finding:
      return find(self);
    case state::stealing:
      return look_at_victim(self);
    case state::taking_runnext:
      return take_runnext(self);
    case state::leaving:
      return leave(self);
    case state::polling: {
      // The poller has returned: the events that are there go to a P.
      poll_turn_ = false;
      change(self, spinning_line_);
      take_proc(self, self.id);
      self.doing = state::finding;
      if (task* next = poll(self); next != nullptr) begin(self, *next);
      return;
    }
    case state::asleep:
      return;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Queues

void model::hold_lock(core& self, double length) {
  const double asked = self.now;
  self.now = std::max(self.now, lock_free_at_);
  change(self, lock_line_);
  found_.lock_wait += self.now - asked;
  ++found_.lock_holds;
  self.now += length;
  lock_free_at_ = self.now;
}

void model::push(core& self, task& one) {
  touch(self, self.head);
  while (!self.ring.push(&one)) {
    std::array<task*, half_a_ring> half;
    const std::uint32_t count = self.ring.take_half(half);
    change(self, self.head);
    hold_lock(self, count * price_.global_each);
    global_.insert(global_.end(), half.begin(), half.begin() + count);
  }
  store(self, self.tail);
}

void model::make_ready(core& self, task& one) {
  one.ready_at = self.now;
  change(self, self.hot);
  task* before = std::exchange(self.runnext, &one);
  if (before != nullptr) push(self, *before);
  wake_for_work(self);
}

task* model::pick_queued(core& self) {
  if (self.runnext != nullptr && self.runnext_streak < most_runnext_in_a_row) {
    change(self, self.hot);
    ++self.runnext_streak;
    return std::exchange(self.runnext, nullptr);
  }
  self.runnext_streak = 0;
  touch(self, self.head);
  if (task* next = self.ring.pop(cores() == 1); next != nullptr) {
    change(self, self.head);
    return next;
  }
  if (self.runnext != nullptr) change(self, self.hot);
  return std::exchange(self.runnext, nullptr);
}

task* model::take_global(core& self, std::uint64_t most) {
  touch(self, lock_line_);
  if (global_.empty()) return nullptr;
  const std::uint64_t wanted = std::min(global_.size() / static_cast<std::size_t>(cores()) + 1, most);
  task* first = global_.front();
  global_.pop_front();
  std::uint64_t taken = 1;
  while (taken < wanted && !global_.empty() && self.ring.push(global_.front())) {
    global_.pop_front();
    ++taken;
  }
  hold_lock(self, static_cast<double>(taken) * price_.global_each);
  if (taken > 1) store(self, self.tail);
  return first;
}

// Asks the poller without waiting: the first of those that are there runs here, the others go into the ring.
task* model::poll(core& self) {
  self.now += price_.poll;
  last_poll_ = self.now;
  task* first = nullptr;
  int count = 0;
  for (; count < events_a_call && arrival_ != nullptr && arrival_at_ <= self.now; ++count) {
    arrival_->ready_at = arrival_at_;
    ++found_.created;
    if (first == nullptr) {
      first = arrival_;
    } else {
      push(self, *arrival_);
    }
    arrival_ = what_->arrival(arrival_at_);
  }
  if (count > 1) wake_for_work(self);
  return first;
}

// ---------------------------------------------------------------------------------------------------------------------
// Running

void model::begin(core& self, task& next) {
  if (self.spinning) {
    // The last one that looked and found work makes sure that somebody looks for more.
    self.spinning = false;
    change(self, spinning_line_);
    --spinning_;
    for (int i = 0; i < rules_.waking && spinning_ < rules_.waking; ++i) wake_for_work(self);
  }
  self.now += price_.decision;
  ++self.tick;
  ++found_.decisions;
  if (next.last_core >= 0 && next.last_core != self.id) {
    self.now += lines_of_a_task * distance(price_, next.last_core, self.id);
  }
  next.last_core = self.id;
  self.current = &next;
  self.doing = state::running;
  if (!self.ran) {
    self.ran = true;
    ++found_.cores_used;
    found_.spread = std::max(found_.spread, self.now);
  }
}

void model::run_current(core& self) {
  task& one = *self.current;
  const action next = what_->next(*this, one, self.id);
  switch (next.kind) {
    case action::what::work:
      self.now += next.time;
      found_.worked += next.time;
      return;
    case action::what::spawn:
      self.now += price_.spawn;
      ++found_.created;
      next.other->last_core = self.id;
      make_ready(self, *next.other);
      return;
    case action::what::wake:
      self.now += price_.wake + price_.locked;
      if (next.other->parked) {
        next.other->parked = false;
        make_ready(self, *next.other);
      } else {
        next.other->notified = true;
      }
      return;
    case action::what::park:
      self.now += price_.locked;
      if (std::exchange(one.notified, false)) return;  // the wake-up came first: it goes on
      one.parked = true;
      break;
    case action::what::end:
      self.now += price_.end;
      ++found_.ended;
      found_.time = std::max(found_.time, self.now);
      break;
  }
  self.current = nullptr;
  store(self, self.hot);
  if (self.now < self.next_check) {
    if (task* other = pick_queued(self); other != nullptr) return begin(self, *other);
  }
  self.doing = state::finding;
}

// ---------------------------------------------------------------------------------------------------------------------
// Finding work: the steps of scheduler.cpp

void model::find(core& self) {
  self.now += price_.clock;
  self.next_check = self.now + check_interval;
  if (arrivals_ && self.now - last_poll_ > poll_interval && !poll_turn_) {
    if (task* next = poll(self); next != nullptr) push(self, *next);
  }
  const std::uint32_t wanted = (self.tick - self.last_global_tick) / global_period;
  if (wanted != 0) {
    self.last_global_tick = self.tick;
    if (task* next = take_global(self, wanted); next != nullptr) return begin(self, *next);
  }
  if (task* next = pick_queued(self); next != nullptr) return begin(self, *next);
  if (task* next = take_global(self, half_a_ring); next != nullptr) return begin(self, *next);
  touch(self, spinning_line_);
  if (arrivals_ && !poll_turn_) {
    if (task* next = poll(self); next != nullptr) return begin(self, *next);
  }
  touch(self, idle_line_);
  const int busy = cores() - static_cast<int>(idle_.size());
  if (cores() > 1 && (self.spinning || 2 * spinning_ < busy)) {
    if (!self.spinning) {
      self.spinning = true;
      ++spinning_;
      change(self, spinning_line_);
    }
    self.pass = 0;
    self.step = 0;
    self.start = static_cast<int>(random_number(self) % static_cast<std::uint32_t>(cores()));
    self.doing = state::stealing;
    return;
  }
  self.doing = state::leaving;
  self.step = 0;
}

model::core& model::victim_of(core& self, int step) {
  if (!rules_.near_first) return at((self.start + step) % cores());
  const int group = self.id / price_.group_cores * price_.group_cores;
  const int near = std::min(price_.group_cores, cores() - group);
  if (step < near) return at(group + (self.start + step) % near);
  return at((group + near + (self.start + step - near) % (cores() - near)) % cores());
}

void model::look_at_victim(core& self) {
  if (self.step == cores()) {
    self.now += price_.clock;
    self.step = 0;
    self.start = static_cast<int>(random_number(self) % static_cast<std::uint32_t>(cores()));
    if (++self.pass < passes) return;
    ++found_.failed_steals;
    self.doing = state::leaving;
    return;
  }
  core& victim = victim_of(self, self.step++);
  if (&victim == &self) return;
  touch(self, victim.rest);
  if (victim.idle) return;
  touch(self, victim.head);
  touch(self, victim.tail);
  const std::uint32_t there = victim.ring.size();
  if (task* next = victim.ring.steal_into(self.ring); next != nullptr) {
    const std::uint32_t count = there - there / 2;
    const int lines = static_cast<int>(count + slots_in_a_line - 1) / slots_in_a_line;
    self.now += lines * distance(price_, victim.id, self.id);
    change(self, victim.head);
    store(self, self.tail);
    ++found_.steals;
    return begin(self, *next);
  }
  if (self.pass < passes - 1) return;
  touch(self, victim.hot);
  if (victim.runnext == nullptr) return;
  self.wanted = victim.runnext;
  self.now += runnext_grace;
  self.doing = state::taking_runnext;
}

void model::take_runnext(core& self) {
  core& victim = victim_of(self, self.step - 1);
  self.doing = state::stealing;
  change(self, victim.hot);
  if (victim.runnext != self.wanted) return;
  victim.runnext = nullptr;
  ++found_.steals;
  begin(self, *self.wanted);
}

void model::give_up_proc(core& self) {
  hold_lock(self, price_.look);
  change(self, idle_line_);
  store(self, self.rest);
  self.idle = true;
  idle_.push_back(self.id);
}

void model::take_proc(core& self, int id) {
  hold_lock(self, price_.look);
  change(self, idle_line_);
  idle_.erase(std::find(idle_.begin(), idle_.end(), id));
  at(id).idle = false;
  store(self, at(id).rest);
}

// The P is given up, then all queues are looked at again, one a step; then the M sleeps or waits in the poller.
void model::leave(core& self) {
  if (self.step == 0 && !self.idle && !self.handed) {
    touch(self, lock_line_);
    if (!global_.empty()) {
      self.doing = state::finding;
      return;
    }
    give_up_proc(self);
    self.was_spinning = self.spinning;
    if (self.spinning) {
      self.spinning = false;
      --spinning_;
      change(self, spinning_line_);
    }
    return;
  }
  if (self.handed) {  // somebody has taken its P for it meanwhile, and it looks for work with it
    self.handed = false;
    self.doing = state::finding;
    return;
  }
  bool queued = false;
  if (self.step < cores()) {
    core& other = at(self.step);
    ++self.step;
    touch(self, other.head);
    touch(self, other.tail);
    queued = other.ring.size() != 0;
  }
  touch(self, lock_line_);
  queued = queued || !global_.empty();
  if (queued) {
    take_proc(self, self.id);
    if (self.was_spinning) {
      self.spinning = true;
      ++spinning_;
      change(self, spinning_line_);
    }
    self.doing = state::finding;
    return;
  }
  if (self.step < cores()) return;
  if (arrivals_ && !poll_turn_) {
    change(self, spinning_line_);
    poll_turn_ = true;
    if (arrival_ != nullptr) {
      self.now = std::max(self.now, arrival_at_) + price_.wake_latency;
      self.doing = state::polling;
      return;
    }
    poll_turn_ = false;
  }
  self.doing = state::asleep;
}

void model::wake_for_work(core& self) {
  touch(self, idle_line_);
  if (idle_.empty()) return;
  touch(self, spinning_line_);
  if (spinning_ >= rules_.waking) return;
  ++spinning_;
  change(self, spinning_line_);
  // The core in the poller only when there is no other: a fresh M takes its P then.
  auto chosen = std::find_if(idle_.rbegin(), idle_.rend(), [&](int id) { return at(id).doing != state::polling; });
  if (chosen == idle_.rend()) chosen = idle_.rbegin();
  core& sleeper = at(*chosen);
  take_proc(self, sleeper.id);
  ++found_.wakes;
  sleeper.spinning = true;
  if (sleeper.doing == state::leaving) {
    sleeper.handed = true;
    return;
  }
  if (sleeper.doing == state::polling) poll_turn_ = false;
  ++sleeper.ticket;
  self.now += price_.futex_wake;
  sleeper.now = self.now - price_.futex_wake + price_.wake_latency;
  sleeper.doing = state::finding;
  schedule(sleeper);
}

}  // namespace bench_simulation
