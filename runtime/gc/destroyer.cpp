// Destructors of dead objects are called by housekeepers (sched/housekeeper.h) of the task that has allocated the
// objects: one for each task that has some, started by the collector's thread when it has swept, and gone when there
// are none left. So they may block, never run on the stack of whoever allocates, hold up no other task's, and are paid
// for by their task; an exception that leaves one fails it.
//
// When the task is about to end, its housekeeper leaves after the destructor that it is in; the objects that it has not
// come to are found with those that the task leaves behind anyway, which belong to nobody: a housekeeper of the default
// group destroys them. There, destructors of many tasks meet that no longer answer for them, so one that waits for ever
// must not keep the others: when none has returned from one collection to the next, one more housekeeper begins, up to
// `most_for_nobody`. Those of one task never run beside themselves while it lives.
//
// A destructor that still waits when its task ends goes on in the default group (housekeeper_gate, 3).
//
// Rejected: one green thread for all tasks (a slow destructor of one would keep everybody's objects); one that sleeps
// in each task, as clean-up functions have (tasks without destructors would have it for nothing, and the first object
// would have to start it in the middle of an allocation); calling what is left before a task may end (a stop would take
// as long as the destructors of a heap).
#include "runtime/gc/destroyer.h"

#include <system_error>

#include "rt/make.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// How many destructors of ended tasks may wait for ever until the others' are no longer called. Each costs a stack.
constexpr std::uint32_t most_for_nobody = 16;

group& group_of(const heap_owner& one) noexcept {
  return one.holder == nullptr ? the_scheduler()->default_group() : *static_cast<group*>(one.holder);
}

bool admit(heap_owner& one) noexcept {
  // A heap that no group holds (in tests) has nobody to call them.
  if (one.holder == nullptr && &one != &orphans()) return false;
  return group_of(one).housekeepers.begin();
}

// The calling green thread as a server of a queue.
class server {
 public:
  server(heap_owner& of, group& mine) noexcept : of_(of), mine_(mine) {}
  ~server() {
    if (serves_ && is_mine()) stop_serving(of_);
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  bool take() noexcept {
    if (!is_mine() || mine_.housekeepers.is_closed()) return false;
    serves_ = take_dead_object(of_, one_);
    return serves_;
  }
  void destroy() {
    struct at_the_end {
      dead_object& one;
      ~at_the_end() {
        destructor_called(one);
        // The address stands on a stack, which others will use: there it would keep alive what is made in its slot.
        one = {};
        keep_alive(&one);
      }
    } at_the_end{one_};
    one_.how(one_.object);
  }

 private:
  // Not after it was moved: the group, and the owner, may be gone then.
  bool is_mine() const noexcept { return current_group() == &mine_; }

  heap_owner& of_;
  group& mine_;
  dead_object one_;
  bool serves_ = true;
};

void destroy_all(heap_owner& of, group& mine) {
  cancellation_shield until_done;  // destructors are noexcept as a rule
  server self(of, mine);
  while (self.take()) self.destroy();
}

}  // namespace

void destroy_dead_objects() noexcept {
  list_if_stuck(orphans(), most_for_nobody);
  while (heap_owner* next = serve_next_owner(&admit)) {
    group& mine = group_of(*next);
    try {
      spawn_housekeeper(mine, housekeeping::moves, {.stack_size = mine.stack_size, .name = "destructors"},
                        [next, &mine] { destroy_all(*next, mine); });
    } catch (const std::system_error&) {
      // No stack: after the next sweep.
      stop_serving(*next);
      mine.housekeepers.end();
      return;
    }
  }
}

}  // namespace rt::detail
