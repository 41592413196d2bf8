// The switch by what green threads can see of it: registers, floating point, exceptions, depth.
#include <gtest/gtest.h>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>

#include "rt/go.h"
#include "rt/sync.h"
#include "tests/runtime/in_runtime.h"

namespace {

using rt_test::scaled;
RT_ON_PROCS(switching);

// Many live values, integer and floating, across a switch: each must come back.
TEST_P(switching, keeps_all_live_registers) {
  run([] {
    rt::wait_group group;
    std::atomic<int> wrong{0};
    for (int g = 0; g < 8; ++g) {
      group.go([g, &wrong] {
        for (int round = 0; round < scaled(2000); ++round) {
          long a = g, b = g + 1, c = g + 2, d = g + 3, e = g + 4, f = g + 5, h = g + 6, i = g + 7;
          double p = g * 0.5, q = g * 0.25, r = g * 2.0, s = g + 0.125, t = g - 0.5, u = g * 3.0, v = g * 7.0,
                 w = g * 9.0;
          asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(h), "+r"(i));
          rt::yield();
          if (a != g || b != g + 1 || c != g + 2 || d != g + 3 || e != g + 4 || f != g + 5 || h != g + 6 ||
              i != g + 7 || p != g * 0.5 || q != g * 0.25 || r != g * 2.0 || s != g + 0.125 || t != g - 0.5 ||
              u != g * 3.0 || v != g * 7.0 || w != g * 9.0) {
            ++wrong;
          }
        }
      });
    }
    group.wait();
    EXPECT_EQ(wrong.load(), 0);
  });
}

TEST_P(switching, parks_inside_a_handler_keep_the_handled_exception) {
  run([] {
    rt::wait_group group;
    std::atomic<int> wrong{0};
    for (int g = 0; g < 16; ++g) {
      group.go([g, &wrong] {
        for (int round = 0; round < scaled(200); ++round) {
          std::string mine = std::to_string(g) + "/" + std::to_string(round);
          try {
            throw std::runtime_error(mine);
          } catch (const std::runtime_error& outer) {
            rt::yield();
            try {
              throw std::logic_error(mine + " inner");
            } catch (const std::logic_error& inner) {
              rt::yield();
              if (inner.what() != mine + " inner") ++wrong;
            }
            try {
              rt::yield();
              throw;  // rethrows what this green thread handles, whatever the others have thrown meanwhile
            } catch (const std::exception& again) {
              if (again.what() != mine) ++wrong;
            }
            if (outer.what() != mine) ++wrong;
          }
          if (std::current_exception() != nullptr) ++wrong;
        }
      });
    }
    group.wait();
    EXPECT_EQ(wrong.load(), 0);
  });
}

TEST_P(switching, uncaught_exceptions_is_counted_for_each_green_thread) {
  run([] {
    struct yielder {
      int* seen;
      ~yielder() {
        rt::yield();
        *seen = std::uncaught_exceptions();
      }
    };
    rt::wait_group group;
    int seen[4] = {};
    for (int& slot : seen) {
      group.go([&slot] {
        try {
          yielder at_unwind{&slot};
          throw 1;
        } catch (int) {
        }
      });
    }
    group.go([] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        rt::yield();
      }
    });
    group.wait();
    for (int slot : seen) EXPECT_EQ(slot, 1);
  });
}

__attribute__((noinline)) int deep(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  frame[1023] = frame[0];
  if (depth == 0) {
    rt::yield();
    return 0;
  }
  return deep(depth - 1) + (frame[1023] == static_cast<char>(depth) ? 1 : 0);
}

TEST_P(switching, stacks_are_as_large_as_asked_for) {
  run([] {
    rt::wait_group group;
    for (int depth : {20, 100}) group.go([depth] { EXPECT_EQ(deep(depth), depth); });
    group.add();
    rt::go({.stack_size = 8 << 20, .name = "deep"}, [&] {
      EXPECT_EQ(deep(4000), 4000);
      group.done();
    });
    group.wait();
  });
}

TEST_P(switching, migration_does_not_leave_stale_thread_state) {
  // Every switch may move a green thread; the runtime's own view of where it runs must follow at once.
  run([] {
    rt::wait_group group;
    for (int g = 0; g < 32; ++g) {
      group.go([] {
        std::uint64_t id = rt::green_thread_id();
        for (int i = 0; i < scaled(2000); ++i) {
          rt::yield();
          if (rt::green_thread_id() != id) {
            ADD_FAILURE() << "green thread " << id << " believes to be " << rt::green_thread_id();
            return;
          }
        }
      });
    }
    group.wait();
  });
}

}  // namespace
