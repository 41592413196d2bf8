// Behaviours 71 to 82, as far as they are the runtime's: exceptions, misuse, reports, dumps. What a host does when its
// code crashes is in tests/daemon/host/crash_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/scheduler.h"
#include "tests/conformance/conformance.h"
#include "tests/runtime/death_tests.h"

// In a dump under names that the test knows.
extern "C" __attribute__((noinline)) void conformance_innermost(std::string& text);
extern "C" __attribute__((noinline)) void conformance_middle(std::string& text);
extern "C" __attribute__((noinline)) void conformance_waits(const rt::chan<int>& never);

void conformance_innermost(std::string& text) {
  text = rt::stack_trace();
  asm volatile("" ::: "memory");  // not a tail call
}

void conformance_middle(std::string& text) {
  conformance_innermost(text);
  asm volatile("" ::: "memory");
}

void conformance_waits(const rt::chan<int>& never) {
  never.recv();
  asm volatile("" ::: "memory");
}

namespace {

using namespace std::chrono_literals;
using namespace conformance;
RT_ON_PROCS(conformance_faults);

struct noted {
  std::vector<int>* order;
  int number;
  noted(std::vector<int>& into, int which) : order(&into), number(which) {}
  ~noted() { order->push_back(number); }
  noted(const noted&) = delete;
  noted& operator=(const noted&) = delete;
};

void descend(std::vector<int>& order, int level, const std::function<void()>& end) {
  noted first(order, 2 * level);
  noted second(order, 2 * level + 1);
  if (level == 5) {
    end();
  } else {
    descend(order, level + 1, end);
  }
}

TEST_P(conformance_faults, b071_destructors_run_in_reverse_order_on_an_exception_and_on_cancellation) {
  run([] {
    const std::vector<int> reverse{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    std::vector<int> thrown;
    std::vector<int> cancelled;
    std::vector<int> returned;
    rt::chan<int> never;
    rt::scope scope;
    rt::wait_group others;
    others.go([&] { EXPECT_THROW(descend(thrown, 0, [] { throw std::runtime_error("out"); }), std::runtime_error); });
    others.go([&] { descend(returned, 0, [] { rt::yield(); }); });
    scope.go(named("waiter"), [&] { descend(cancelled, 0, [&] { never.recv(); }); });
    ASSERT_TRUE(come_to_wait("waiter", "chan receive"));
    others.wait();
    scope.cancel();
    scope.wait();
    EXPECT_EQ(thrown, reverse);
    EXPECT_EQ(cancelled, reverse);
    EXPECT_EQ(returned, reverse);
  });
}

// Go's deferred functions may block; so may destructors, also those that a cancellation runs.
TEST_P(conformance_faults, b071_destructors_may_block_while_a_cancelled_green_thread_unwinds) {
  run([] {
    struct says_goodbye {
      rt::mutex& mutex;
      rt::chan<int>& out;
      ~says_goodbye() {
        rt::sleep_for(1ms);
        std::scoped_lock lock(mutex);
        out.send(7);
        rt::yield();
      }
    };
    rt::mutex mutex;
    rt::chan<int> goodbyes;
    rt::chan<int> never;
    rt::scope scope;
    for (int i = 0; i < 10; ++i) {
      scope.go(named("waiter"), [&] {
        says_goodbye first{mutex, goodbyes};
        says_goodbye second{mutex, goodbyes};
        never.recv();
      });
    }
    ASSERT_TRUE(come_to_wait("waiter", "chan receive", 10));
    mutex.lock();
    scope.cancel();
    rt::sleep_for(2ms);
    mutex.unlock();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(goodbyes.recv_for(30s), 7);
    scope.wait();
  });
}

TEST_P(conformance_faults, b071_a_handler_stops_its_own_exception_only) {
  run([] {
    rt::scope scope;
    for (int g = 0; g < 20; ++g) {
      scope.go([g] {
        const std::string mine = "outer " + std::to_string(g);
        for (int i = 0; i < scaled(200); ++i) {
          try {
            try {
              throw std::runtime_error(mine);
            } catch (const std::runtime_error& outer) {
              rt::yield();  // others throw and catch meanwhile, on this kernel thread or another one
              try {
                rt::yield();
                throw std::logic_error("inner");
              } catch (const std::logic_error& inner) {
                rt::yield();
                EXPECT_STREQ(inner.what(), "inner");
              }
              EXPECT_EQ(outer.what(), mine);
              EXPECT_EQ(std::uncaught_exceptions(), 0);
              rt::yield();
              throw;
            }
          } catch (const std::runtime_error& again) {
            EXPECT_EQ(again.what(), mine) << "what is rethrown is what was caught";
          }
          EXPECT_EQ(std::current_exception(), nullptr);
        }
      });
    }
    scope.wait();
  });
}

TEST_P(conformance_faults, b071_an_exception_may_be_thrown_and_caught_while_another_one_unwinds) {
  run([] {
    struct throws_inside {
      std::atomic<int>& caught;
      ~throws_inside() {
        EXPECT_EQ(std::uncaught_exceptions(), 1);
        rt::yield();
        EXPECT_EQ(std::uncaught_exceptions(), 1) << "another green thread's are counted";
        try {
          throw std::logic_error("inside");
        } catch (const std::logic_error&) {
          rt::yield();
          ++caught;
        }
      }
    };
    std::atomic<int> inner{0};
    std::atomic<int> outer{0};
    rt::scope scope;
    for (int g = 0; g < 20; ++g) {
      scope.go([&] {
        for (int i = 0; i < scaled(100); ++i) {
          try {
            throws_inside one{inner};
            throw std::runtime_error("outside");
          } catch (const std::runtime_error& error) {
            EXPECT_STREQ(error.what(), "outside");
            ++outer;
          }
        }
      });
    }
    scope.wait();
    EXPECT_EQ(inner, 20 * scaled(100));
    EXPECT_EQ(outer, 20 * scaled(100));
  });
}

TEST(conformance_faults_end, b071_a_second_exception_out_of_a_destructor_ends_the_process) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt::run([] {
                 struct throws_again {
                   ~throws_again() noexcept(false) { throw std::logic_error("the second"); }
                 };
                 rt::go([] {
                   throws_again one;
                   throw std::runtime_error("the first");
                 });
                 rt::sleep_for(30s);
                 return 0;
               }),
               "terminate called");
}

TEST_P(conformance_faults, b072_out_of_range_is_an_exception_and_handlers_see_current_values) {
  run([] {
    rt::scope scope;
    for (int g = 0; g < 10; ++g) {
      scope.go([g] {
        std::vector<int> few(3);
        int current = 0;
        struct looks {
          const int& value;
          int& seen;
          ~looks() { seen = value; }
        };
        int seen = -1;
        try {
          looks at_end{current, seen};
          current = 10 + g;
          rt::yield();
          few.at(static_cast<std::size_t>(current)) = 1;
        } catch (const std::out_of_range&) {
          EXPECT_EQ(current, 10 + g);
          EXPECT_EQ(seen, 10 + g) << "the destructor saw an old value";
        }
        EXPECT_THROW(static_cast<void>(std::optional<int>().value()), std::bad_optional_access);
        EXPECT_THROW(std::function<void()>()(), std::bad_function_call);
      });
    }
    scope.wait();
  });
}

// The end of a green thread from within (Go's Goexit) is the exception that cancellation throws.
TEST_P(conformance_faults, b074_one_that_ends_itself_lets_the_others_go_on) {
  run([] {
    const std::size_t before = rt::num_green_threads();
    std::vector<int> order;
    std::atomic<int> others{0};
    rt::scope scope;
    scope.go([&] {
      noted first(order, 1);
      noted second(order, 2);
      throw rt::cancelled();
    });
    for (int i = 0; i < 10; ++i) {
      scope.go([&] {
        rt::sleep_for(1ms);
        ++others;
      });
    }
    rt::go([] { throw rt::cancelled(); });  // outside a scope as well
    scope.wait();
    EXPECT_EQ(others, 10);
    EXPECT_EQ(order, (std::vector<int>{2, 1}));
    EXPECT_TRUE(eventually([&] { return rt::num_green_threads() == before; }));
  });
}

TEST_P(conformance_faults, b074_an_exception_in_place_of_the_end_counts_and_an_end_in_place_of_an_exception_too) {
  run([] {
    rt::scope failing;
    failing.go([] {
      try {
        throw rt::cancelled();
      } catch (const rt::cancelled&) {
        throw std::runtime_error("after the end");
      }
    });
    EXPECT_THROW(failing.wait(), std::runtime_error);
    rt::scope ending;
    ending.go([] {
      try {
        throw std::runtime_error("recovered");
      } catch (const std::runtime_error&) {
        throw rt::cancelled();
      }
    });
    ending.wait();
  });
}

TEST_P(conformance_faults, b075_starting_a_null_function_is_an_error_of_the_caller) {
  run([] {
    const std::size_t before = rt::num_green_threads();
    void (*null)() = nullptr;
    struct object {
      void call() {}
    };
    void (object::*null_member)() = nullptr;
    object one;
    rt::scope scope;
    EXPECT_THROW(rt::go(null), rt::usage_error);
    EXPECT_THROW(rt::go(std::function<void()>()), rt::usage_error);
    EXPECT_THROW(rt::go(named("nothing"), null_member, &one), rt::usage_error);
    EXPECT_THROW(scope.go(null), rt::usage_error);
    EXPECT_EQ(rt::num_green_threads(), before);
    std::atomic<int> ran{0};
    std::function<void()> some = [&] { ++ran; };
    scope.go(some);
    scope.go([&] { ++ran; });
    scope.wait();
    EXPECT_EQ(ran, 2);
  });
}

// What the process says at its end, line by line: those of the runtime are whole.
class whole_reports {
 public:
  using is_gtest_matcher = void;
  bool MatchAndExplain(const std::string& text, std::ostream* why) const {
    std::istringstream lines(text);
    int reports = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.find("rtd runtime:") == std::string::npos) continue;
      ++reports;
      const std::string start = "rtd runtime: an exception left green thread ";
      const std::string end = ": std::runtime_error: unhappy, and it has much to say about it";
      const bool whole = line.size() > start.size() + end.size() && line.compare(0, start.size(), start) == 0 &&
                         line.compare(line.size() - end.size(), end.size(), end) == 0 &&
                         line.find("rtd", 1) == std::string::npos;
      if (!whole) {
        if (why != nullptr) *why << "this line is not whole: " << line;
        return false;
      }
    }
    if (reports == 0 && why != nullptr) *why << "nothing is reported";
    return reports > 0;
  }
  void DescribeTo(std::ostream* out) const { *out << "whole reports"; }
  void DescribeNegationTo(std::ostream* out) const { *out << "no whole reports"; }
};

TEST(conformance_faults_end, b076_reports_of_exceptions_at_the_same_time_are_whole) {
  rt_test::prepare_death_test();
  for (int round = 0; round < 3; ++round) {
    EXPECT_DEATH(rt::run(
                     [] {
                       std::atomic<int> ready{0};
                       for (int i = 0; i < 8; ++i) {
                         rt::go([&] {
                           ++ready;
                           while (ready < 8) sched_yield();
                           throw std::runtime_error("unhappy, and it has much to say about it");
                         });
                       }
                       rt::sleep_for(30s);
                       return 0;
                     },
                     {.max_procs = 8}),
                 whole_reports());
  }
}

void die_in_a_green_thread(void (*before)()) {
  rt::run([before] {
    rt::go([before] {
      before();
      throw std::runtime_error("unhappy");
    });
    rt::sleep_for(30s);
    return 0;
  });
}

TEST(conformance_faults_end, b077_an_end_in_an_unfit_moment_is_still_reported) {
  const char* const expected = "an exception left green thread .*runtime_error: unhappy";
  rt_test::prepare_death_test();
#if !defined(__SANITIZE_THREAD__)  // whose abort() flushes all streams
  // Another thread has the lock of stderr, and never gives it back.
  EXPECT_DEATH(die_in_a_green_thread([] {
                 std::atomic<bool> locked{false};
                 std::thread([&] {
                   flockfile(stderr);
                   locked = true;
                   std::this_thread::sleep_for(30s);
                 }).detach();
                 while (!locked) rt::yield();
               }),
               expected);
#endif
  // The world is stopped.
  EXPECT_DEATH(die_in_a_green_thread([] { rt::detail::the_scheduler()->stop_the_world(); }), expected);
  // Without a processor.
  EXPECT_DEATH(die_in_a_green_thread([] { rt::blocking([] { throw std::runtime_error("unhappy"); }); }), expected);
  // In the function of a timer.
  EXPECT_DEATH(rt::run([] {
                 rt::timer timer(1ms, [] { throw std::runtime_error("unhappy"); });
                 rt::sleep_for(30s);
                 return 0;
               }),
               expected);
}

TEST_P(conformance_faults, b079_a_stack_has_its_functions_in_order_and_its_labels) {
  run([] {
    std::string own;
    conformance_middle(own);
    EXPECT_THAT(own, testing::StartsWith("goroutine " + std::to_string(rt::green_thread_id()) + " [running]:\n"));
    const std::size_t inner = own.find("conformance_innermost");
    const std::size_t middle = own.find("conformance_middle");
    ASSERT_NE(inner, std::string::npos) << own;
    ASSERT_NE(middle, std::string::npos) << own;
    EXPECT_LT(inner, middle);

    rt::chan<int> never;
    rt::scope scope;
    scope.go(named("labelled"), [&] { conformance_waits(never); });
    ASSERT_TRUE(come_to_wait("labelled", "chan receive"));
    const std::string all = rt::all_stacks();
    const std::size_t header = all.find("[chan receive] {name: labelled}:\n");
    ASSERT_NE(header, std::string::npos) << all;
    const std::size_t end = all.find("\n\n", header);
    const std::size_t frame = all.find("conformance_waits(", header);
    ASSERT_NE(frame, std::string::npos) << all;
    EXPECT_LT(frame, end) << "the frame is another green thread's";
    EXPECT_EQ(all.compare(all.find('\n', frame) + 1, 1, "\t"), 0) << "a place follows each function";
    scope.cancel();
    scope.wait();
  });
}

// Frames beyond a fixed number are left out; Go leaves out those in the middle.
TEST_P(conformance_faults, b079_a_deep_stack_is_cut) {
  run([] {
    struct deep {
      static std::size_t descend(int levels) {
        if (levels == 0) return static_cast<std::size_t>(std::ranges::count(rt::stack_trace(), '\t'));
        std::size_t frames = descend(levels - 1);
        asm volatile("" ::: "memory");
        return frames;
      }
    };
    const std::size_t few = deep::descend(5);
    const std::size_t many = deep::descend(500);
    EXPECT_GE(few, 6U);
    EXPECT_GT(many, few);
    EXPECT_LE(many, 100U);
  });
}

TEST_P(conformance_faults, b080_a_dump_has_every_green_thread_also_those_that_run) {
  run([] {
    std::atomic<bool> stop{false};
    std::atomic<int> going{0};
    rt::scope scope;
    for (int i = 0; i < 4; ++i) {
      scope.go(named("busy"), [&] {
        ++going;
        while (!stop) rt::checkpoint();
      });
      scope.go(named("parked"), [] { rt::sleep_for(1h); });
      scope.go(named("blocked"), [&] {
        rt::blocking([&] {
          while (!stop) std::this_thread::sleep_for(1ms);
        });
      });
    }
    EXPECT_TRUE(eventually([&] { return going == 4 && count_in_state("parked", "sleep") == 4; }));
    const std::string dump = rt::all_stacks();
    auto count = [&](const std::string& text) {
      int found = 0;
      for (std::size_t at = dump.find(text); at != std::string::npos; at = dump.find(text, at + 1)) ++found;
      return found;
    };
    EXPECT_EQ(count("{name: busy}:\n"), 4);
    EXPECT_EQ(count("{name: parked}:\n"), 4);
    EXPECT_EQ(count("{name: blocked}:\n"), 4);
    EXPECT_EQ(count("goroutine "), 13);
    stop = true;
    scope.cancel();
    scope.wait();
  });
}

}  // namespace
