// The gate before a socket's descriptor.
#include "runtime/net/operation_gate.h"

#include <vector>

#include "tests/runtime/net/net_fixture.h"
#include "tests/runtime/waiting.h"

namespace rt::net::testing {
namespace {

using detail::direction;
using detail::operation_gate;

class gate_on : public on_procs {};

TEST_P(gate_on, one_of_each_direction_at_a_time) {
  run([] {
    operation_gate gate;
    std::atomic<int> inside[2]{};
    std::atomic<int> most{0};
    wait_group done;
    for (int i = 0; i < 16; ++i) {
      done.go([&, side = i % 2 == 0 ? direction::read : direction::write] {
        for (int round = 0; round < 300; ++round) {
          ASSERT_TRUE(gate.enter(side));
          int now_inside = inside[static_cast<int>(side)].fetch_add(1) + 1;
          if (now_inside > most.load()) most = now_inside;
          if (round % 3 == 0) yield();
          inside[static_cast<int>(side)].fetch_sub(1);
          EXPECT_FALSE(gate.leave(side));
        }
      });
    }
    done.wait();
    EXPECT_EQ(most.load(), 1);
  });
}

TEST_P(gate_on, first_come_first_served) {
  run([] {
    operation_gate gate;
    ASSERT_TRUE(gate.enter(direction::read));
    std::vector<int> order;  // by turns under the gate
    wait_group done;
    for (int i = 0; i < 5; ++i) {
      done.go([&, i] {
        ASSERT_TRUE(gate.enter(direction::read));
        order.push_back(i);
        EXPECT_FALSE(gate.leave(direction::read));
      });
      EXPECT_TRUE(rt_test::come_to_wait_in("IO wait", i + 1));
    }
    EXPECT_FALSE(gate.leave(direction::read));
    done.wait();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  });
}

TEST_P(gate_on, exactly_one_is_the_last_one_out) {
  run([] {
    for (int round = 0; round < 400; ++round) {
      operation_gate gate;
      std::atomic<int> last{0};
      std::atomic<int> refused{0};
      wait_group done;
      for (int i = 0; i < 6; ++i) {
        done.go([&, side = i % 2 == 0 ? direction::read : direction::write] {
          while (true) {
            if (!gate.enter(side)) break;
            yield();
            if (gate.leave(side)) last.fetch_add(1);
            if (!gate.enter_shared()) break;
            if (gate.leave_shared()) last.fetch_add(1);
          }
          refused.fetch_add(1);
        });
      }
      for (int i = 0; i < round % 7; ++i) yield();
      EXPECT_TRUE(gate.close());
      EXPECT_FALSE(gate.close());
      if (gate.leave_shared()) last.fetch_add(1);
      done.wait();
      ASSERT_EQ(last.load(), 1);
      ASSERT_EQ(refused.load(), 6);
      EXPECT_TRUE(gate.is_closed());
      EXPECT_FALSE(gate.enter_shared());
    }
  });
}

TEST_P(gate_on, cancelled_in_the_queue) {
  run([] {
    operation_gate gate;
    ASSERT_TRUE(gate.enter(direction::write));
    scope tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.go([&] {
        static_cast<void>(gate.enter(direction::write));
        ADD_FAILURE() << "enter returned";
      });
    }
    wait_group done;
    done.go([&] {
      ASSERT_TRUE(gate.enter(direction::write));
      EXPECT_FALSE(gate.leave(direction::write));
    });
    sleep_for(5ms);
    tasks.cancel();
    tasks.wait();
    EXPECT_FALSE(gate.leave(direction::write));
    done.wait();
    ASSERT_TRUE(gate.enter(direction::write));
    EXPECT_FALSE(gate.leave(direction::write));
  });
}

TEST_P(gate_on, cancel_races_with_the_hand_over) {
  run([] {
    for (int round = 0; round < 500; ++round) {
      operation_gate gate;
      ASSERT_TRUE(gate.enter(direction::read));
      scope tasks;
      tasks.go([&] {
        if (gate.enter(direction::read)) {
          EXPECT_FALSE(gate.leave(direction::read));
        }
      });
      yield();
      wait_group left;  // whoever gets the gate may be done before the one that hands it over has left it
      left.go([&gate] { static_cast<void>(gate.leave(direction::read)); });
      if (round % 2 == 0) yield();
      tasks.cancel();
      tasks.wait();
      left.wait();
      ASSERT_TRUE(gate.enter(direction::read));
      EXPECT_FALSE(gate.leave(direction::read));
    }
  });
}

RT_NET_TEST_ON_PROCS(gate_on);

}  // namespace
}  // namespace rt::net::testing
