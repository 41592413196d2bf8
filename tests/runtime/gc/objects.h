// Objects that tell when they are destroyed, and a stack without leftovers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "rt/gc.h"
#include "tests/runtime/in_runtime.h"

namespace rt_test {

/// Counts those of one test that have been destroyed. Objects of a test may be found dead in a later one, so the count
/// outlives the test.
class tally {
 public:
  std::atomic<int>& destroyed = fresh();

 private:
  static std::atomic<int>& fresh() {
    static std::deque<std::atomic<int>> all;
    return all.emplace_back(0);
  }
};

struct node {
  static constexpr std::uint64_t alive = 0x600d600d600d600d;

  explicit node(tally& count, int number = 0) : counted(&count.destroyed), value(number) {}
  ~node() {
    magic = 0;
    counted->fetch_add(1);
  }
  node(const node&) = delete;
  node& operator=(const node&) = delete;
  bool is_alive() const { return magic == alive; }

  std::uint64_t magic = alive;
  rt::ref<node> next;
  std::atomic<int>* counted;
  int value;
};

/// Overwrites what earlier calls have left below the caller's frame: words there would keep objects alive.
[[gnu::noinline]] inline void clear_stack() {
  volatile std::uintptr_t words[2048];
  for (volatile std::uintptr_t& word : words) word = 0;
}

template <class Make>
[[gnu::noinline]] void in_a_frame_of_its_own(const Make& make) {
  make();
}

/// Calls `make` with nothing of it left on the caller's stack or in its registers.
template <class Make>
[[gnu::noinline]] void out_of_sight(const Make& make) {
  in_a_frame_of_its_own(make);
  clear_stack();
}

/// Whether at least `count` objects of the tally are destroyed after some collections.
inline bool are_destroyed(const tally& count, int wanted) {
  return eventually([&] {
    if (count.destroyed.load() >= wanted) return true;
    rt::gc();
    return count.destroyed.load() >= wanted;
  });
}

/// A chain of `length` nodes; only the first is returned.
[[gnu::noinline]] inline node* make_chain(tally& count, int length) {
  node* first = nullptr;
  for (int i = 0; i < length; ++i) {
    node* fresh = rt::make<node>(count, i);
    fresh->next = first;
    first = fresh;
  }
  return first;
}

[[gnu::noinline]] inline int chain_length(const node* first) {
  int length = 0;
  for (; first != nullptr; first = first->next) {
    if (!first->is_alive()) return -1;
    ++length;
  }
  return length;
}

}  // namespace rt_test
