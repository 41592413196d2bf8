// Tables that the collector looks through while everybody changes them: those of rt::root, rt::weak and rt::add_cleanup.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/seeds.h"

namespace {

using rt_test::node;
using rt_test::tally;

RT_ON_PROCS(registries);

TEST_P(registries, of_roots_weak_references_and_cleanups_are_changed_by_many_while_marking) {
  rt_test::seeds seeds;
  run([&] {
    tally count;
    {
      std::atomic<int> wrong{0};
      std::atomic<int> running{6};
      rt::root<node> shared(rt::make<node>(count, 1000));
      auto change = [&](unsigned number) {
        std::mt19937 random = seeds.source(number);
        std::vector<rt::root<node>> strong;  // in memory of malloc
        std::vector<rt::weak<node>> weak;
        for (int i = 0; i < rt_test::scaled(2000); ++i) {
          node* fresh = rt::make<node>(count, i);
          if (random() % 2 == 0) strong.emplace_back(fresh);
          if (random() % 2 == 0) weak.emplace_back(fresh);
          if (random() % 8 == 0) rt::add_cleanup(fresh, [] {});
          if (random() % 4 == 0) strong.push_back(shared);
          if (strong.size() > 50) strong.erase(strong.begin(), strong.begin() + static_cast<long>(random() % 50));
          if (weak.size() > 50) weak.erase(weak.begin(), weak.begin() + static_cast<long>(random() % 50));
          if (!strong.empty() && !strong[random() % strong.size()]->is_alive()) ++wrong;
          if (!weak.empty()) {
            const node* there = weak[random() % weak.size()].lock();
            if (there != nullptr && !there->is_alive()) ++wrong;
          }
          if (random() % 32 == 0) rt::yield();
        }
        --running;
      };
      rt::wait_group done;
      for (unsigned i = 0; i < 5; ++i) done.go([&, i] { change(i); });
      // A thread that is none of the runtime's: its stack is not seen, and its roots are.
      std::thread outside([&] {
        for (int i = 0; i < rt_test::scaled(2000); ++i) {
          auto copy = std::make_unique<rt::root<node>>(shared);
          rt::root<node> moved(std::move(*copy));
          if (!moved->is_alive()) ++wrong;
        }
        --running;
      });
      while (running > 0) rt::gc();
      done.wait();
      rt::blocking([&] { outside.join(); });
      EXPECT_EQ(wrong, 0);
      EXPECT_EQ(shared->value, 1000);
    }
  });
}

}  // namespace
