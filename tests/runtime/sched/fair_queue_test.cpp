// The fair queue by itself: who is chosen, when time is charged by hand.
#include "runtime/sched/fair_queue.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "runtime/os/clock.h"
#include "runtime/sched/green_thread.h"

namespace {

using rt::detail::fair_queue;
using rt::detail::green_thread;
using rt::detail::group;
using rt::detail::share_class;

constexpr std::uint64_t slice = 1'000'000;  // cycles

// A group and green threads of it that never run.
struct member_list {
  explicit member_list(const char* name, std::uint32_t weight = 100, share_class kind = share_class::normal)
      : of(name) {
    fair_queue::set_idle(of.share, weight, kind);
  }
  green_thread& add() {
    members.push_back(std::make_unique<green_thread>());
    members.back()->member_of = &of;
    return *members.back();
  }
  group of;
  std::vector<std::unique_ptr<green_thread>> members;
};

green_thread* take_one(fair_queue& queue) {
  fair_queue::batch batch;
  return queue.take(batch, 1) == 0 ? nullptr : batch[0];
}

// Every one of `lists` always wants to run; whoever is chosen runs for a slice. Returns how often each was chosen.
std::vector<int> serve(fair_queue& queue, std::vector<member_list*> lists, int decisions) {
  for (member_list* one : lists) queue.push(one->add());
  std::vector<int> served(lists.size(), 0);
  for (int i = 0; i < decisions; ++i) {
    green_thread* next = take_one(queue);
    group* owner = next->member_of;
    owner->share.charge(slice);
    for (std::size_t k = 0; k < lists.size(); ++k) {
      if (owner == &lists[k]->of) ++served[k];
    }
    queue.push(*next);
  }
  while (take_one(queue) != nullptr) {
  }
  return served;
}

TEST(fair_queue, is_in_use_while_a_group_has_a_weight_of_its_own) {
  EXPECT_FALSE(fair_queue::in_use());
  {
    member_list plain("plain");
    EXPECT_FALSE(fair_queue::in_use());
    member_list special("special", 7);
    EXPECT_TRUE(fair_queue::in_use());
    special.of.set_share(100, share_class::normal);
    EXPECT_FALSE(fair_queue::in_use());
    special.of.set_share(100, share_class::latency);
    EXPECT_TRUE(fair_queue::in_use());
  }
  EXPECT_FALSE(fair_queue::in_use());
}

TEST(fair_queue, serves_equal_groups_in_turn_and_each_group_in_order) {
  fair_queue queue;
  member_list first("first");
  member_list second("second");
  green_thread& a = first.add();
  green_thread& b = first.add();
  green_thread& c = second.add();
  for (green_thread* one : {&a, &b, &c}) queue.push(*one);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(take_one(queue), &a);
  first.of.share.charge(slice);
  EXPECT_EQ(take_one(queue), &c);
  EXPECT_EQ(take_one(queue), &b);
  EXPECT_EQ(take_one(queue), nullptr);
  EXPECT_EQ(queue.size(), 0U);
}

TEST(fair_queue, shares_by_weight) {
  fair_queue queue;
  member_list batch("batch", 1);
  member_list normal("normal");
  member_list heavy("heavy", 300);
  std::vector<int> served = serve(queue, {&batch, &normal, &heavy}, 4'010);
  EXPECT_NEAR(served[0], 10, 1);
  EXPECT_NEAR(served[1], 1'000, 5);
  EXPECT_NEAR(served[2], 3'000, 5);
}

TEST(fair_queue, shares_among_many_groups) {
  fair_queue queue;
  std::vector<std::unique_ptr<member_list>> lists;
  std::vector<member_list*> pointers;
  std::uint32_t total = 0;
  constexpr int groups = 200;
  for (std::uint32_t i = 1; i <= groups; ++i) {
    lists.push_back(std::make_unique<member_list>(std::to_string(i).c_str(), i));
    pointers.push_back(lists.back().get());
    total += i;
  }
  std::vector<int> served = serve(queue, pointers, static_cast<int>(total) * 3);
  // The first decision of each group comes for nothing: it may be one ahead.
  for (int i = 0; i < groups; ++i) EXPECT_NEAR(served[static_cast<std::size_t>(i)], 3 * (i + 1), 2) << i;
}

TEST(fair_queue, a_group_that_slept_has_no_credit_and_one_that_ran_alone_no_debt) {
  fair_queue queue;
  member_list ran("ran");
  member_list slept("slept");
  serve(queue, {&ran}, 1'000);
  std::vector<int> served = serve(queue, {&ran, &slept}, 100);
  EXPECT_NEAR(served[0], 50, 1);
  EXPECT_NEAR(served[1], 50, 1);
}

TEST(fair_queue, the_latency_class_goes_first_until_its_budget_is_used) {
  fair_queue queue;
  member_list batch("batch");
  member_list latency("latency", 100, share_class::latency);
  green_thread& hog = batch.add();
  green_thread& urgent = latency.add();
  EXPECT_FALSE(queue.push(hog));
  EXPECT_TRUE(queue.push(urgent));
  EXPECT_EQ(queue.take_first_class(), &urgent);
  EXPECT_EQ(queue.take_first_class(), nullptr);

  EXPECT_TRUE(queue.push(urgent));
  EXPECT_EQ(take_one(queue), &urgent);

  // The budget of 10 ms is gone, and its virtual time is ahead.
  auto used = static_cast<std::uint64_t>(20e6 * rt::os::cycles_per_nanosecond());
  latency.of.share.charge(used);
  queue.charge_latency(used);
  EXPECT_FALSE(queue.push(urgent));
  EXPECT_EQ(queue.take_first_class(), nullptr);
  EXPECT_EQ(take_one(queue), &hog);
  EXPECT_EQ(take_one(queue), &urgent);

  // It comes back with time: 20 ms for what was overdrawn, and something to use.
  for (std::uint64_t start = rt::os::cycles(); rt::os::cycles() - start < 2 * used;) {
  }
  EXPECT_TRUE(queue.push(urgent));
  EXPECT_EQ(queue.take_first_class(), &urgent);
}

TEST(fair_queue, takes_several_of_one_group_and_leaves_others_their_part) {
  fair_queue queue;
  member_list many("many");
  member_list other("other", 50);
  for (int i = 0; i < 100; ++i) queue.push(many.add());
  queue.push(other.add());
  fair_queue::batch batch;
  EXPECT_EQ(queue.take(batch, fair_queue::most_at_once), 16U);
  queue.set_procs(50);
  EXPECT_EQ(queue.take(batch, fair_queue::most_at_once), 84U / 50 + 1);
  many.of.share.charge(slice);
  EXPECT_EQ(queue.take(batch, fair_queue::most_at_once), 1U);
  EXPECT_EQ(batch[0], other.members[0].get());
  std::size_t left = 0;
  while (queue.take_any() != nullptr) ++left;
  EXPECT_EQ(left, 100U - 16 - 2);
  EXPECT_EQ(queue.size(), 0U);
}

TEST(fair_queue, knows_whether_one_that_runs_is_still_first) {
  fair_queue queue;
  member_list first("first", 200);
  member_list second("second", 100);
  member_list latency("latency", 50, share_class::latency);
  EXPECT_TRUE(queue.is_still_first(first.of.share));
  second.of.share.charge(slice);
  queue.push(second.add());
  EXPECT_TRUE(queue.is_still_first(first.of.share));
  first.of.share.charge(2 * slice);
  EXPECT_FALSE(queue.is_still_first(first.of.share)) << "a tie goes to the one that waits";
  EXPECT_TRUE(queue.is_still_first(latency.of.share));
  latency.of.share.charge(slice);
  EXPECT_TRUE(queue.is_still_first(latency.of.share)) << "by its class";
  queue.push(latency.add());
  EXPECT_FALSE(queue.is_still_first(second.of.share));
  while (take_one(queue) != nullptr) {
  }
}

TEST(fair_queue, settings_change_while_green_threads_wait) {
  fair_queue queue;
  member_list first("first");
  member_list second("second");
  member_list third("third");
  for (member_list* one : {&first, &second, &third}) queue.push(one->add());
  queue.change(third.of.share, 100, share_class::latency);
  EXPECT_EQ(queue.take_first_class(), third.members[0].get());
  queue.push(*third.members[0]);
  queue.change(third.of.share, 10, share_class::normal);
  EXPECT_EQ(queue.take_first_class(), nullptr);
  EXPECT_EQ(queue.size(), 3U);
  int served = 0;
  while (take_one(queue) != nullptr) ++served;
  EXPECT_EQ(served, 3);
}

// Everything at once against a plain list of who waits: nobody is lost or served twice, and the order within a group
// holds.
TEST(fair_queue, loses_nobody) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  fair_queue queue;
  std::vector<std::unique_ptr<member_list>> lists;
  for (int i = 0; i < 20; ++i) {
    lists.push_back(std::make_unique<member_list>("one", 1 + random() % 10'000,
                                                  random() % 4 == 0 ? share_class::latency : share_class::normal));
    for (int k = 0; k < 10; ++k) lists.back()->add().id = 0;
  }
  std::vector<green_thread*> resting;
  for (auto& list : lists) {
    for (auto& one : list->members) resting.push_back(one.get());
  }
  std::uint64_t clock = 1;
  std::vector<std::uint64_t> last_served(lists.size(), 0);
  auto serve_one = [&](green_thread* one) {
    for (std::size_t i = 0; i < lists.size(); ++i) {
      if (one->member_of != &lists[i]->of) continue;
      EXPECT_GT(one->id, last_served[i]);  // id: when it was pushed
      last_served[i] = one->id;
    }
    one->id = 0;
    resting.push_back(one);
  };
  for (int step = 0; step < 100'000; ++step) {
    member_list& list = *lists[random() % lists.size()];
    switch (random() % 8) {
      case 0:
        queue.change(list.of.share, 1 + random() % 10'000,
                     random() % 4 == 0 ? share_class::latency : share_class::normal);
        break;
      case 1:
      case 2:
        list.of.share.charge(random() % slice);
        break;
      case 3:
        if (green_thread* one = queue.take_first_class(); one != nullptr) serve_one(one);
        break;
      case 4: {
        fair_queue::batch batch;
        std::uint32_t count = queue.take(batch, 1 + random() % fair_queue::most_at_once);
        for (std::uint32_t i = 0; i < count; ++i) serve_one(batch[i]);
        break;
      }
      default:
        if (!resting.empty()) {
          std::size_t which = random() % resting.size();
          green_thread* one = resting[which];
          resting[which] = resting.back();
          resting.pop_back();
          ASSERT_EQ(one->id, 0U);
          one->id = clock++;
          queue.push(*one);
        }
    }
    ASSERT_EQ(queue.size() + resting.size(), 200U);
  }
  while (green_thread* one = queue.take_any()) serve_one(one);
  EXPECT_EQ(resting.size(), 200U);
  EXPECT_EQ(queue.first_class_size(), 0U);
}

}  // namespace
