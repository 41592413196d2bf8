// The reduction of the explorer against none: random programs must have the same outcomes with both.
//
// The seed is one of which a program (two threads that load a location, and a third one that stores to it) shows what
// is missing if only the last race of a step is looked at; RT_MODEL_SEED gives another one, and RT_MODEL_BUDGET more
// programs.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/model/checker/model.h"

namespace {

struct instruction {
  enum class kind : std::uint8_t { load, store, add, compare, fence } what;
  int variable;
  int value;
  std::memory_order order;
};
using program = std::vector<std::vector<instruction>>;

constexpr int threads = 3;
constexpr int variables = 2;

program random_program(std::mt19937& random) {
  constexpr std::memory_order load_orders[] = {std::memory_order_relaxed, std::memory_order_acquire,
                                               std::memory_order_seq_cst};
  constexpr std::memory_order store_orders[] = {std::memory_order_relaxed, std::memory_order_release,
                                                std::memory_order_seq_cst};
  constexpr std::memory_order change_orders[] = {std::memory_order_relaxed, std::memory_order_acq_rel,
                                                 std::memory_order_seq_cst};
  constexpr std::memory_order fence_orders[] = {std::memory_order_acquire, std::memory_order_release,
                                                std::memory_order_seq_cst};
  program made(threads);
  int value = 0;
  for (std::vector<instruction>& thread : made) {
    int length = 2 + static_cast<int>(random() % 2);
    for (int i = 0; i < length; ++i) {
      instruction one{};
      one.variable = static_cast<int>(random() % variables);
      one.value = ++value;
      unsigned order = random() % 3;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          one.what = instruction::kind::load;
          one.order = load_orders[order];
          break;
        case 3:
        case 4:
          one.what = instruction::kind::store;
          one.order = store_orders[order];
          break;
        case 5:
          one.what = instruction::kind::add;
          one.order = change_orders[order];
          break;
        case 6:
          one.what = instruction::kind::compare;
          one.order = change_orders[order];
          break;
        default:
          one.what = instruction::kind::fence;
          one.order = fence_orders[order];
      }
      thread.push_back(one);
    }
  }
  return made;
}

void run_thread(const std::vector<instruction>& code, std::array<std::atomic<int>, variables>& memory,
                std::array<int, 4>& seen) {
  for (std::size_t i = 0; i < code.size(); ++i) {
    const instruction& one = code[i];
    std::atomic<int>& variable = memory[static_cast<std::size_t>(one.variable)];
    switch (one.what) {
      case instruction::kind::load:
        seen[i] = variable.load(one.order);
        break;
      case instruction::kind::store:
        variable.store(one.value, one.order);
        break;
      case instruction::kind::add:
        seen[i] = variable.fetch_add(100, one.order);
        break;
      case instruction::kind::compare: {
        int zero = 0;
        if (!variable.compare_exchange_strong(zero, one.value, one.order, std::memory_order_relaxed)) seen[i] = zero;
        break;
      }
      case instruction::kind::fence:
        std::atomic_thread_fence(one.order);
        break;
    }
  }
}

std::set<std::string> outcomes_of(const program& code, bool reduction, bool early_stores, std::uint64_t& executions) {
  std::set<std::string> found;
  rt_model::options bounds;
  bounds.reduction = reduction;
  bounds.early_stores = early_stores;
  bounds.most_executions = 20'000'000;
  rt_model::outcome result = rt_model::explore("random_program", bounds, [&] {
    std::array<std::atomic<int>, variables> memory{};
    std::array<std::array<int, 4>, threads> seen{};
    for (std::size_t i = 0; i < threads; ++i) {
      rt_model::thread([&, i] { run_thread(code[i], memory, seen[i]); });
    }
    rt_model::join();
    int left[variables];
    for (std::size_t i = 0; i < variables; ++i) left[i] = memory[i].load(std::memory_order_relaxed);
    rt_model::unwatched guard;
    std::string text;
    for (const auto& thread : seen) {
      for (int one : thread) text += std::to_string(one) + " ";
      text += "/ ";
    }
    for (int one : left) text += std::to_string(one) + " ";
    found.insert(text);
  });
  EXPECT_FALSE(result.failed) << result.what;
  EXPECT_TRUE(result.complete);
  executions += result.executions;
  return found;
}

TEST(random_program, has_the_same_outcomes_with_and_without_reduction) {
  const char* wanted = std::getenv("RT_MODEL_SEED");
  unsigned seed = wanted != nullptr ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 2110389900;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const char* budget = std::getenv("RT_MODEL_BUDGET");  // seconds, about
  int programs = budget != nullptr ? 8 * std::atoi(budget) : 16;
  std::uint64_t reduced = 0;
  std::uint64_t all = 0;
  for (int i = 0; i < programs; ++i) {
    program code = random_program(random);
    bool early_stores = random() % 2 != 0;
    std::set<std::string> with = outcomes_of(code, true, early_stores, reduced);
    std::set<std::string> without = outcomes_of(code, false, early_stores, all);
    ASSERT_EQ(with, without) << "program " << i << ", early stores " << early_stores;
  }
  std::printf("%llu executions instead of %llu\n", static_cast<unsigned long long>(reduced),
              static_cast<unsigned long long>(all));
}

}  // namespace
