// The run queue of a P (runtime/sched/run_queue.h) in all orders within bounds: its owner pushes, pops and moves half
// away, and thieves steal. Each element is taken once, none is lost, and what its producer wrote is seen by whoever
// takes it.
#include "runtime/sched/run_queue.h"

#include <gtest/gtest.h>

#include "tests/model/expect.h"

namespace {

struct item {
  int written = 0;  // by the producer, before the push
  int taken = 0;    // plain: two takers would race
};

template <std::uint32_t Capacity>
struct fixture {
  using queue = rt::detail::basic_run_queue<item, Capacity>;
  queue own;
  queue other;
  queue third;
  item items[8];

  fixture() {
    rt_model::name(&own, "own");
    rt_model::name(&other, "other");
    rt_model::name(&third, "third");
  }
  void push(int index) {
    items[index].written = 1;
    rt_model::require(own.push(&items[index]), "the queue is full too early");
  }
  bool try_push(int index) {
    items[index].written = 1;
    return own.push(&items[index]);
  }
  void take(item* one) {
    if (one == nullptr) return;
    rt_model::require(one->written == 1, "an element is seen without what was written to it");
    ++one->taken;
  }
  void steal(queue& into) {
    take(own.steal_into(into));
    drain(into);
  }
  void drain(queue& from) {
    while (item* one = from.pop(false)) take(one);
  }
  void expect_taken(int count) {
    for (int i = 0; i < count; ++i) rt_model::require(items[i].taken == 1, "an element was lost or taken twice");
  }
};

void owner_and_thief() {
  fixture<4> all;
  rt_model::thread([&] {
    all.push(0);
    all.push(1);
    all.take(all.own.pop(false));
    all.push(2);
    all.take(all.own.pop(false));
  });
  rt_model::thread([&] { all.steal(all.other); });
  rt_model::join();
  all.drain(all.own);
  all.expect_taken(3);
}

// The ring is as small as it can be, so slots are used again while a thief still looks at their old values.
void slots_used_again() {
  fixture<2> all;
  all.push(0);
  all.push(1);
  rt_model::thread([&] {
    all.take(all.own.pop(false));
    if (!all.try_push(2)) all.take(&all.items[2]);
    all.take(all.own.pop(false));
  });
  rt_model::thread([&] { all.steal(all.other); });
  rt_model::join();
  all.drain(all.own);
  all.expect_taken(3);
}

void two_thieves() {
  fixture<4> all;
  rt_model::thread([&] {
    all.push(0);
    all.push(1);
    all.take(all.own.pop(false));
  });
  rt_model::thread([&] { all.take(all.own.steal_into(all.other)); });
  rt_model::thread([&] { all.take(all.own.steal_into(all.third)); });
  rt_model::join();
  all.drain(all.own);
  all.drain(all.other);
  all.drain(all.third);
  all.expect_taken(2);
}

// A thief's thief: what was stolen goes on.
void stolen_twice() {
  fixture<4> all;
  for (int i = 0; i < 4; ++i) all.push(i);
  rt_model::thread([&] { all.steal(all.other); });
  rt_model::thread([&] {
    all.take(all.other.steal_into(all.third));
    all.drain(all.third);
  });
  rt_model::join();
  all.drain(all.own);
  all.drain(all.other);
  all.expect_taken(4);
}

// A full ring: half of it goes to the global queue, while a thief takes some.
void half_moves_out() {
  fixture<4> all;
  for (int i = 0; i < 4; ++i) all.push(i);
  rt_model::thread([&] {
    std::array<item*, 2> half;
    std::uint32_t count = all.own.take_half(half);
    for (std::uint32_t i = 0; i < count; ++i) all.take(half[i]);
    all.push(4);
    all.take(all.own.pop(false));
  });
  rt_model::thread([&] { all.steal(all.other); });
  rt_model::join();
  all.drain(all.own);
  all.expect_taken(5);
}

TEST(run_queue_model, each_element_is_taken_once) {
  rt_model::options bounds;
  bounds.early_stores = true;
  bounds.refuse_load_buffering = true;  // a thief must not read what its own claim lets the owner put into the slot
  rt_model::expect_holds("owner_and_thief", bounds, owner_and_thief);
  rt_model::expect_holds("slots_used_again", bounds, slots_used_again);
  rt_model::expect_holds("two_thieves", bounds, two_thieves);
  rt_model::expect_holds("stolen_twice", bounds, stolen_twice);
  rt_model::expect_holds("half_moves_out", bounds, half_moves_out);
}

// `alone` is for a runtime with one P; with a thief it takes elements twice.
TEST(run_queue_model, the_plain_pop_needs_to_be_alone) {
  rt_model::expect_found(
      "alone", {},
      [] {
        fixture<4> all;
        all.push(0);
        rt_model::thread([&] { all.take(all.own.pop(true)); });
        rt_model::thread([&] { all.take(all.own.steal_into(all.other)); });
        rt_model::join();
      },
      "data race");
}

TEST(run_queue_model, needs_its_orders) {
  rt_model::options bounds;
  bounds.early_stores = true;
  bounds.refuse_load_buffering = true;  // a thief must not read what its own claim lets the owner put into the slot
  auto all = [] {
    switch (rt_model::choose(5)) {
      case 0:
        return owner_and_thief();
      case 1:
        return slots_used_again();
      case 2:
        return two_thieves();
      case 3:
        return stolen_twice();
      default:
        return half_moves_out();
    }
  };
  // Stronger than any execution of these bodies needs. The owner's acquires are for steal_into, which refills slots
  // that thieves may still read, when the ring went round without a push (which acquires) in between: too long a body.
  // Nobody learns anything from the owner's claims, or from a thief's acquire of head, since slots and tail belong to
  // the owner; they are kept for symmetry and cost nothing on x86.
  rt_model::expect_all_found(
      "run_queue", bounds, all, {"sched/run_queue.h"},
      {"acquire -> relaxed: std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with the thief's "
       "claim$",
       "acquire -> relaxed: std::uint32_t head = head_.load(std::memory_order_acquire);  // pairs with other thieves",
       "acquire -> relaxed: head = head_.load(std::memory_order_acquire);",
       "acq_rel -> acquire: if (head_.compare_exchange_weak(head, head + 1",
       "acq_rel -> release: if (head_.compare_exchange_weak(head, head + 1",
       "failure acquire -> relaxed: if (head_.compare_exchange_weak(head, head + 1",
       "acq_rel -> acquire: if (!head_.compare_exchange_strong(head, head + Capacity / 2",
       "acq_rel -> release: if (!head_.compare_exchange_strong(head, head + Capacity / 2",
       "failure acquire -> relaxed: if (!head_.compare_exchange_strong(head, head + Capacity / 2",
       "acq_rel -> release: if (!head_.compare_exchange_weak(head, head + count",
       "failure acquire -> relaxed: if (!head_.compare_exchange_weak(head, head + count"});
}

}  // namespace
