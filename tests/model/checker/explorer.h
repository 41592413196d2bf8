// Which executions there are: the tree of choices, and what of it need not be walked.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/model/checker/clocks.h"
#include "tests/model/checker/model.h"
#include "tests/model/checker/operation.h"

namespace rt_model {

using thread_set = std::uint32_t;  // a bit for each thread

class explorer {
 public:
  explicit explorer(const options& bounds) : bounds_(bounds) {}

  /// An execution begins. With `random`, its choices are drawn with this seed instead of walking the tree.
  void begin(bool random = false, std::uint64_t seed = 0);
  /// The thread that takes the next step, out of those that can; `running` took the last one. -1: what follows was
  /// executed already in another order that makes no difference.
  int pick(thread_set enabled, int running, const std::array<operation, most_threads>& next);
  /// One of 0 … count - 1.
  int choose(int count);
  /// The number of the step that was picked last.
  std::uint32_t last_event() const noexcept {
    return random_ ? no_event : static_cast<std::uint32_t>(events_.size() - 1);
  }
  /// The load that the thread has just made has read what this step stored.
  void observed(int thread, std::uint32_t store);
  /// Makes the next execution of the tree the current one; false when there is none left.
  bool advance();
  /// Not empty when the body did something else than the last time with the same choices.
  const std::string& confusion() const noexcept { return confusion_; }

 private:
  struct node {
    bool scheduling = false;
    int chosen = 0;
    int count = 0;  // of values
    thread_set enabled = 0;
    thread_set wanted = 0;  // to be tried here
    thread_set done = 0;    // tried here
    thread_set asleep = 0;  // need not be tried here
    int running = -1;
    int preemptions = 0;  // before this step
    std::array<operation, most_threads> next;
  };
  struct trace_clock {
    std::array<std::uint32_t, most_threads> seen{};
    void join(const trace_clock& other) noexcept {
      for (int i = 0; i < most_threads; ++i) seen[i] = std::max(seen[i], other.seen[i]);
    }
  };
  struct event {
    int thread;
    operation what;
    std::size_t node;
    trace_clock after;
  };
  struct object_trace {
    std::vector<std::uint32_t> events;
    trace_clock writes, reads, sequential_reads;
  };

  bool preempts(const node& at, int thread) const noexcept {
    return at.running >= 0 && thread != at.running && (at.enabled >> at.running & 1) != 0;
  }
  bool within_bounds(const node& at, int thread) const noexcept {
    return bounds_.preemptions < 0 || !preempts(at, thread) || at.preemptions < bounds_.preemptions;
  }
  void want(std::size_t at, int thread);
  void look_for_races(int thread, const operation& what);
  void look_at(const std::vector<std::uint32_t>& events, int thread, const operation& what);
  thread_set beginnings(std::uint32_t from, int thread, const operation& what) const;
  void note_event(int thread, const operation& what, std::size_t at);
  int pick_at_random(thread_set enabled, int running);

  options bounds_;
  std::vector<node> nodes_;
  std::size_t position_ = 0;
  std::size_t last_scheduling_ = 0;  // the index of the last scheduling node of this execution, plus 1
  std::vector<event> events_;
  std::array<trace_clock, most_threads> clocks_;
  std::unordered_map<const volatile void*, object_trace> objects_;
  object_trace sequential_;  // fences and operations that are sequentially consistent
  object_trace barriers_;    // on all threads
  trace_clock everything_;   // all steps so far
  bool random_ = false;
  std::mt19937_64 generator_;
  std::string confusion_;
};

}  // namespace rt_model
