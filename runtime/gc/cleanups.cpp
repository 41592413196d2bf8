// Each task that has clean-up functions has a housekeeper that calls them (sched/housekeeper.h). It is started by the
// first rt::add_cleanup of the task, sleeps while there is nothing to do, and ends when the task is cancelled or its
// housekeepers are to leave; then what has not been called is thrown away. So no function of a task runs, or is
// destroyed, when the task is gone and its plugin may be unloaded; and its CPU time, its faults and its exceptions are
// the task's.
//
// Sweeping finds the dead objects, on whatever thread comes to a span, inside of the heap: it only puts the node into
// the list of its task. The collector wakes the green threads when it has swept.
//
// Rejected: a green thread for each call, started by the collector: a task that is about to end must not get new ones;
// one green thread for all tasks: one task's function would keep the others' waiting, and would run after its end.
#include "runtime/gc/cleanups.h"

#include <utility>

#include "rt/go.h"
#include "rt/local.h"
#include "runtime/gc/roots.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

void end_root(root_slot* slot) noexcept;

namespace {

os::spin_lock all_lock{os::lock_rank::none};
task_cleanups* all_tasks RT_GUARDED_BY(all_lock) = nullptr;

task_local<task_cleanups>& of_tasks() {
  static task_local<task_cleanups> all;
  return all;
}

// What a node held; destroyed at the end of a call, however it ends.
class owned_record {
 public:
  explicit owned_record(attachment& one) noexcept : record_(one.record), root_(one.root) { free_attachment(one); }
  ~owned_record() {
    record_->destroy(*record_);
    end_root(root_);
  }
  owned_record(const owned_record&) = delete;
  owned_record& operator=(const owned_record&) = delete;
  void call() { record_->call(*record_); }

 private:
  cleanup_record* record_;
  root_slot* root_;
};

}  // namespace

task_cleanups::task_cleanups() {
  os::spin_guard guard(all_lock);
  next_ = std::exchange(all_tasks, this);
}

task_cleanups::~task_cleanups() {
  // There was no stack for the green thread when it was to be started; somebody else had added one meanwhile.
  if (!has_ended()) end();
  os::spin_guard guard(all_lock);
  task_cleanups** at = &all_tasks;
  while (*at != this) at = &(*at)->next_;
  *at = next_;
}

void task_cleanups::start() {
  if (started_.load(std::memory_order_relaxed) || started_.exchange(true, std::memory_order_relaxed)) return;
  group& mine = *current_group();
  if (!mine.housekeepers.begin()) {
    ended_.store(true, std::memory_order_seq_cst);  // the task is about to end
    return;
  }
  try {
    spawn_housekeeper(mine, housekeeping::stays, {.stack_size = 0, .name = "cleanups"}, [this] { serve(); });
  } catch (...) {
    mine.housekeepers.end();
    started_.store(false, std::memory_order_relaxed);
    throw;
  }
}

void task_cleanups::add_dead(attachment& one) noexcept {
  attachment* first = dead_.load(std::memory_order_relaxed);
  do {
    one.next = first;
  } while (!dead_.compare_exchange_weak(first, &one, std::memory_order_release, std::memory_order_relaxed));
}

void task_cleanups::wake_all() noexcept {
  os::spin_guard guard(all_lock);
  for (task_cleanups* one = all_tasks; one != nullptr; one = one->next_) {
    if (one->dead_.load(std::memory_order_relaxed) == nullptr) continue;
    // It has not begun, and looks before it sleeps: or it is there until the lock is free.
    os::spin_guard inner(one->lock_);
    if (one->who_ != nullptr) unpark(*one->who_);
  }
}

bool task_cleanups::call_one() {
  if (taken_ == nullptr) taken_ = dead_.exchange(nullptr, std::memory_order_acquire);  // pairs with add_dead
  if (taken_ == nullptr) return false;
  attachment& one = *std::exchange(taken_, taken_->next);
  owned_record(one).call();
  return true;
}

void task_cleanups::serve() {
  struct at_the_end {
    task_cleanups& self;
    ~at_the_end() { self.end(); }
  } at_the_end{*this};
  green_thread* self = current_green_thread();
  const housekeeper_gate& gate = current_group()->housekeepers;
  {
    os::spin_guard guard(lock_);
    who_ = self;
  }
  while (!gate.is_closed()) {
    throw_if_cancellation_pending(*self);
    if (!call_one()) park(wait_reason::cleanup);
  }
}

void task_cleanups::end() noexcept {
  {
    os::spin_guard guard(lock_);
    who_ = nullptr;
  }
  // seq_cst with has_ended: who adds one after this sees it, and who has added one is found.
  ended_.store(true, std::memory_order_seq_cst);
  detach_all(*this, &throw_away);
  // Those that sweeps have found before that.
  while (true) {
    if (taken_ == nullptr) taken_ = dead_.exchange(nullptr, std::memory_order_acquire);
    if (taken_ == nullptr) return;
    throw_away(*std::exchange(taken_, taken_->next));
  }
}

task_cleanups& cleanups_of_task() {
  task_cleanups& mine = of_tasks().get();
  mine.start();
  return mine;
}

void throw_away(attachment& one) noexcept { owned_record unused(one); }

}  // namespace rt::detail
