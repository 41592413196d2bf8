// One execution: the threads of the model on stacks of their own, one of which runs at a time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/context/context.h"
#include "runtime/os/worker_slot.h"
#include "tests/model/checker/explorer.h"
#include "tests/model/checker/memory.h"
#include "tests/model/checker/mutation.h"

namespace rt_model {

class execution {
 public:
  explicit execution(const options& bounds);
  execution(const execution&) = delete;
  execution& operator=(const execution&) = delete;

  enum class end : std::uint8_t { complete, redundant, failed };
  /// Runs the body once, with the explorer's present choices.
  end run(const std::function<void()>& body);
  explorer& choices() noexcept { return explorer_; }
  const std::string& failure() const noexcept { return failure_; }
  /// The steps of the last run, a line each.
  std::string trace() const;
  mutation& mutated() noexcept { return mutation_; }
  /// The sites of atomic operations that runs have met.
  const std::map<std::uintptr_t, operation>& sites() const noexcept { return sites_; }

  // ---- called by threads of the execution, through instrument.cpp and model.h
  std::uint64_t load(operation one);
  void store(operation one, std::uint64_t value);
  std::uint64_t exchange(operation one, const std::function<std::uint64_t(std::uint64_t)>& change);
  bool compare_exchange(operation one, std::uint64_t& expected, std::uint64_t wanted);
  void fence(operation one);
  void barrier(operation one);
  void plain(const volatile void* address, std::size_t size, bool write, std::uintptr_t site);
  void freed(void* address, std::size_t size, std::uintptr_t site);
  void block(operation one);
  void start_thread(std::function<void()> body);
  void join_all();
  int choose(int count) { return explorer_.choose(count); }
  [[noreturn]] void fail(const std::string& what);
  void name(const volatile void* address, const std::string& text) { names_[address] = text; }
  /// The first function of a thread.
  void thread_main();

 private:
  enum class phase : std::uint8_t { unused, waiting, finished };
  struct model_thread {
    phase state = phase::unused;
    std::function<void()> body;
    rt::detail::context flow;
    thread_memory memory;
    rt::os::worker_head* worker_slot = nullptr;
    std::array<void*, 2> exceptions{};  // the thread's part of the C++ exception state
    char* stack = nullptr;
  };
  struct step_record {
    int thread;
    operation what;
    effect done;
    bool success;
  };

  void take_turn(const operation& one);
  void go_on(int from);
  void switch_to(int thread);
  [[noreturn]] void leave(end how);
  bool can_go_on(int thread);
  thread_set able();
  void note(const operation& one, const effect& done, bool success = true);
  std::string describe_step(const step_record& one) const;
  std::string name_of(const volatile void* address) const;

  options bounds_;
  explorer explorer_;
  memory memory_;
  mutation mutation_;
  std::array<model_thread, most_threads> threads_;
  std::array<operation, most_threads> next_;
  int count_ = 0;
  int running_ = -1;
  std::uint64_t steps_ = 0;
  rt::detail::context outside_;
  end how_ = end::complete;
  std::string failure_;
  std::vector<step_record> records_;
  std::map<const volatile void*, std::string> names_;
  std::map<std::uintptr_t, operation> sites_;
};

/// The execution whose thread is running and is not inside the checker; null otherwise.
execution* current_execution() noexcept;

/// Memory of an execution, for operator new: taken in order, given back all at once, so addresses repeat.
void* arena_allocate(std::size_t size, std::size_t align) noexcept;
bool arena_owns(const void* address) noexcept;
std::size_t arena_size(const void* address) noexcept;

}  // namespace rt_model
