// One program that decides by its seed alone what it does, with marking beside it and with marking while it stands
// still: it computes the same, and the same objects are left.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/seeds.h"

namespace {

// For the time of a test; what was there before comes back.
class debug_variable {
 public:
  explicit debug_variable(const char* options) {
    if (const char* value = std::getenv("RT_DEBUG"); value != nullptr) before_ = value;
    setenv("RT_DEBUG", options, 1);
  }
  ~debug_variable() {
    if (before_) {
      setenv("RT_DEBUG", before_->c_str(), 1);
    } else {
      unsetenv("RT_DEBUG");
    }
  }
  debug_variable(const debug_variable&) = delete;
  debug_variable& operator=(const debug_variable&) = delete;

 private:
  std::optional<std::string> before_;
};

using flags = std::vector<std::atomic<bool>>;

struct numbered {
  numbered(flags& ends, std::size_t id) : ended(&ends), number(id) {}
  ~numbered() { (*ended)[number] = true; }
  numbered(const numbered&) = delete;
  numbered& operator=(const numbered&) = delete;
  flags* ended;
  std::size_t number;
  rt::ref<numbered> left, right;
};

constexpr std::size_t entries = 32;
constexpr std::size_t steps = 3000;

struct outcome {
  std::uint64_t sum = 0;
  std::set<std::size_t> reachable;
  std::size_t lost = 0;
};

[[gnu::noinline]] void work(std::mt19937 random, rt::ref<numbered>* entry, flags& ends, std::uint64_t& sum) {
  for (std::size_t i = 0; i < steps; ++i) {
    rt::ref<numbered>& one = entry[random() % entries];
    rt::ref<numbered>& other = entry[random() % entries];
    switch (random() % 6) {
      case 0:
      case 1: {
        auto* fresh = rt::make<numbered>(ends, i);
        fresh->left = one;
        fresh->right = other;
        one = fresh;
        break;
      }
      case 2:
        one = nullptr;
        break;
      case 3:
        if (one != nullptr) one->left = other;
        break;
      case 4:
        if (one != nullptr) one = one->right;
        break;
      default:
        swap(one, other);
        break;
    }
    if (one != nullptr) sum = sum * 31 + one->number;
  }
}

[[gnu::noinline]] void walk(const numbered* from, std::set<std::size_t>& seen) {
  std::vector<const numbered*> left{from};
  while (!left.empty()) {
    const numbered* one = left.back();
    left.pop_back();
    if (one == nullptr || !seen.insert(one->number).second) continue;
    left.push_back(one->left);
    left.push_back(one->right);
  }
}

outcome run_program(const char* options, int procs, const std::mt19937& random) {
  // Objects that a leftover keeps are destroyed in a later run.
  auto& ends = *new flags(steps);
  outcome result;
  debug_variable with(options);
  rt_test::in_runtime(procs, [&] {
    rt::ref<numbered>* entry = rt::make_array<rt::ref<numbered>>(entries);
    std::atomic<bool> end{false};
    rt::wait_group done;
    done.go([&] {
      while (!end) rt::gc();
    });
    rt_test::out_of_sight([&] { work(random, entry, ends, result.sum); });
    end = true;
    done.wait();
    rt_test::out_of_sight([&] {
      for (std::size_t i = 0; i < entries; ++i) walk(entry[i], result.reachable);
    });
    for (int i = 0; i < 3; ++i) rt::gc();
    for (std::size_t one : result.reachable) result.lost += ends[one] ? 1 : 0;
    rt::keep_alive(entry);
  });
  return result;
}

RT_ON_PROCS(differential);

TEST_P(differential, marking_beside_the_program_and_in_a_stop_leave_the_same) {
  rt_test::seeds seeds;
  const outcome beside = run_program("gccheckheap=1", GetParam(), seeds.source(0));
  const outcome stopped = run_program("gcstoptheworld=1,gccheckheap=1", GetParam(), seeds.source(0));
  EXPECT_EQ(beside.sum, stopped.sum);
  EXPECT_EQ(beside.reachable, stopped.reachable);
  EXPECT_EQ(beside.lost, 0U);
  EXPECT_EQ(stopped.lost, 0U);
}

}  // namespace
