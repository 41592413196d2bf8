// The timer heap (runtime/sched/timer_heap.cpp), the real one, in all orders that the checker finds: a timer fires once
// or is removed, a node may go as soon as remove() has returned, and timers that move with their P's heap stay
// removable.
#include "runtime/sched/timer_heap.h"

#include <gtest/gtest.h>

#include "runtime/sched/sharing_domain.h"
#include "tests/model/expect.h"

namespace {

using rt::detail::timer_heap;
using rt::detail::timer_node;

// The domain that the timers are counted in is made at its first use and stays: that must not be in an execution. So
// its counts go on from one execution to the next, and nothing here depends on them.
[[maybe_unused]] const rt::detail::sharing_domain& everybody = rt::detail::shared_by_all();

void count(void* first, std::uint64_t) noexcept {
  static_cast<std::atomic<int>*>(first)->fetch_add(1, std::memory_order_relaxed);
}

void prepare(timer_node& node, std::int64_t when, std::atomic<int>& counter) {
  node.when = when;
  node.fire = count;
  node.first = &counter;
}

// A sleeper arms, is woken for another reason, and leaves the frame in which the node stands.
void remove_races_with_run() {
  timer_heap heap;
  std::atomic<int> counter{0};
  std::atomic<int> removed{0};
  rt_model::thread([&] {
    auto* node = new timer_node;
    prepare(*node, 5, counter);
    heap.add(*node);
    removed.store(timer_heap::remove(*node) ? 1 : 0, std::memory_order_relaxed);
    delete node;
  });
  rt_model::thread([&] { heap.run(10); });
  rt_model::join();
  rt_model::require(counter.load() + removed.load() == 1, "neither fired nor removed, or both");
  rt_model::require(heap.size() == 0 && heap.next() == INT64_MAX, "something is left in the heap");
}

// The owner and an idle M that finds the timers due fire each once.
void two_run() {
  timer_heap heap;
  std::atomic<int> counter{0};
  timer_node nodes[2];
  for (timer_node& one : nodes) {
    prepare(one, 5, counter);
    heap.add(one);
  }
  rt_model::thread([&] { heap.run(10); });
  rt_model::thread([&] { heap.run(10); });
  rt_model::join();
  rt_model::require(counter.load() == 2 && heap.fired() == 2, "a timer was lost, or fired or counted twice");
}

void add_races_with_add_and_run() {
  timer_heap heap;
  std::atomic<int> counter{0};
  timer_node nodes[2];
  rt_model::thread([&] {
    prepare(nodes[0], 5, counter);
    heap.add(nodes[0]);
    heap.run(10);
  });
  rt_model::thread([&] {
    prepare(nodes[1], 4, counter);
    heap.add(nodes[1]);
  });
  rt_model::join();
  heap.run(10);
  rt_model::require(counter.load() == 2 && heap.fired() == 2, "a timer was lost, or fired or counted twice");
}

// A P goes while one of its sleepers, which runs elsewhere, removes its node.
void remove_races_with_move() {
  timer_heap from;
  timer_heap to;
  to.set_place(1);
  std::atomic<int> counter{0};
  auto* node = new timer_node;
  prepare(*node, 5, counter);
  from.add(*node);
  timer_node other;
  prepare(other, 4, counter);
  from.add(other);
  rt_model::thread([&] { from.move_to(to); });
  rt_model::thread([&] {
    rt_model::require(timer_heap::remove(*node), "a timer that did not fire was not removed");
    delete node;
  });
  rt_model::join();
  to.run(10);
  rt_model::require(counter.load() == 1 && to.size() == 0 && from.size() == 0, "the other timer was lost");
}

// Fired, and armed again at once by the callback's owner, while somebody removes it: as a ticker does.
void armed_again() {
  timer_heap heap;
  std::atomic<int> counter{0};
  std::atomic<int> removed{0};
  timer_node node;
  prepare(node, 5, counter);
  heap.add(node);
  rt_model::thread([&] {
    if (heap.run(10) == 1) heap.add(node);
  });
  rt_model::thread([&] { removed.store(timer_heap::remove(node) ? 1 : 0, std::memory_order_relaxed); });
  rt_model::join();
  rt_model::require(static_cast<int>(heap.size()) == (removed.load() == 1 ? 0 : 1), "the heap and the node disagree");
}

// Who looks at next() without the lock learns what was written before the timer was armed.
void the_earliest_time_is_published() {
  timer_heap heap;
  std::atomic<int> counter{0};
  timer_node node;
  int message = 0;
  rt_model::thread([&] {
    prepare(node, 5, counter);
    message = 1;
    heap.add(node);
  });
  rt_model::thread([&] {
    if (heap.next() == 5) rt_model::require(message == 1, "");
  });
  rt_model::join();
}

TEST(timer_heap_model, a_timer_fires_once_or_is_removed) {
  rt_model::expect_holds("remove_races_with_run", {}, remove_races_with_run);
  rt_model::expect_holds("two_run", {}, two_run);
  rt_model::expect_holds("add_races_with_add_and_run", {}, add_races_with_add_and_run);
  rt_model::expect_holds("remove_races_with_move", {}, remove_races_with_move);
  rt_model::expect_holds("armed_again", {}, armed_again);
  rt_model::expect_holds("the_earliest_time_is_published", {}, the_earliest_time_is_published);
}

TEST(timer_heap_model, needs_its_orders) {
  auto all = [] {
    switch (rt_model::choose(6)) {
      case 0:
        return remove_races_with_run();
      case 1:
        return two_run();
      case 2:
        return add_races_with_add_and_run();
      case 3:
        return remove_races_with_move();
      case 4:
        return armed_again();
      default:
        return the_earliest_time_is_published();
    }
  };
  rt_model::expect_all_found("timer_heap", {}, all, {"sched/timer_heap.cpp", "sched/timer_heap.h", "os/spin_lock.h"});
}

// A node that goes without remove(): the heap still points at it.
TEST(timer_heap_model, a_node_that_goes_while_it_is_armed_is_found) {
  rt_model::expect_found(
      "gone_while_armed", {},
      [] {
        timer_heap heap;
        std::atomic<int> counter{0};
        auto* node = new timer_node;
        prepare(*node, 5, counter);
        heap.add(*node);
        rt_model::thread([&] {
          if (node->heap.load(std::memory_order_relaxed) == nullptr) delete node;  // without remove's acquire
        });
        rt_model::thread([&] { heap.run(10); });
        rt_model::join();
      },
      "data race");
}

}  // namespace
