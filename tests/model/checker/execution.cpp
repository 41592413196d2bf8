#include "tests/model/checker/execution.h"

#include <cxxabi.h>
#include <sys/mman.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "tests/model/checker/sites.h"

namespace rt_model {

namespace {

constexpr std::size_t stack_size = 256 * 1024;  // bytes; a green thread's, with room for gtest's messages
constexpr std::size_t arena_bytes = 64 << 20;   // address space; one execution of the tests uses some kilobytes
constexpr std::size_t arena_header = 16;

execution* active = nullptr;  // while threads of it run
int inside = 0;               // nested unwatched

char* arena_base = nullptr;
std::size_t arena_used = 0;

char* map_memory(std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("model checker: mmap");
    std::abort();
  }
  return static_cast<char*>(memory);
}

void swap_exceptions(std::array<void*, 2>& save, const std::array<void*, 2>& load) noexcept {
  void* globals = abi::__cxa_get_globals();
  std::memcpy(save.data(), globals, sizeof save);
  std::memcpy(globals, load.data(), sizeof load);
}

}  // namespace

execution* current_execution() noexcept { return inside == 0 ? active : nullptr; }

unwatched::unwatched() noexcept { ++inside; }
unwatched::~unwatched() { --inside; }

void* arena_allocate(std::size_t size, std::size_t align) noexcept {
  std::size_t begin = (arena_used + arena_header + align - 1) / align * align;
  if (begin + size > arena_bytes) return nullptr;
  arena_used = begin + size;
  std::memcpy(arena_base + begin - arena_header, &size, sizeof size);
  return arena_base + begin;
}
bool arena_owns(const void* address) noexcept {
  return arena_base != nullptr && address >= arena_base && address < arena_base + arena_bytes;
}
std::size_t arena_size(const void* address) noexcept {
  std::size_t size;
  std::memcpy(&size, static_cast<const char*>(address) - arena_header, sizeof size);
  return size;
}

// What a fresh thread's stack begins with.
extern "C" void rt_model_thread_start();
extern "C" void rt_model_thread_main() {
  active->thread_main();
  std::abort();
}
#if defined(__x86_64__)
asm(R"(
.text
.globl rt_model_thread_start
.type rt_model_thread_start, @function
rt_model_thread_start:
  xorl %ebp, %ebp
  call rt_model_thread_main
  ud2
.size rt_model_thread_start, .-rt_model_thread_start
)");
#else
asm(R"(
.text
.globl rt_model_thread_start
.type rt_model_thread_start, %function
rt_model_thread_start:
  mov x29, xzr
  mov x30, xzr
  bl rt_model_thread_main
  brk #1
.size rt_model_thread_start, .-rt_model_thread_start
)");
#endif

execution::execution(const options& bounds)
    : bounds_(bounds),
      explorer_(bounds),
      memory_([this](int count) { return explorer_.choose(count); }, [this](const std::string& what) { fail(what); }) {
  if (arena_base == nullptr) arena_base = map_memory(arena_bytes);
}

execution::end execution::run(const std::function<void()>& body) {
  memory_.begin(bounds_);
  arena_used = 0;
  steps_ = 0;
  count_ = 0;
  running_ = -1;
  how_ = end::complete;
  failure_.clear();
  records_.clear();
  names_.clear();
  for (model_thread& one : threads_) {
    one.state = phase::unused;
    one.memory = {};
    one.worker_slot = nullptr;
    one.exceptions = {};
    one.body = nullptr;
  }
  start_thread(body);
  active = this;
  ++inside;
  std::array<void*, 2> mine{};
  swap_exceptions(mine, {});
  running_ = 0;
  switch_context(outside_, threads_[0].flow);
  std::array<void*, 2> theirs{};
  swap_exceptions(theirs, mine);
  --inside;
  active = nullptr;
  rt::os::set_worker_slot(nullptr);
  return how_;
}

void execution::start_thread(std::function<void()> body) {
  if (count_ == most_threads) fail("more than " + std::to_string(most_threads) + " threads");
  int number = count_++;
  model_thread& fresh = threads_[number];
  if (fresh.stack == nullptr) fresh.stack = map_memory(stack_size);
  fresh.state = phase::waiting;
  fresh.body = std::move(body);
  fresh.memory.number = number;
  if (running_ >= 0) {
    knowledge& parent = threads_[running_].memory.known;
    ++parent.happened.ticks[running_];
    fresh.memory.known = parent;
    fresh.memory.caused = threads_[running_].memory.caused;
    fresh.memory.caused.join(parent.happened);
  }
  fresh.flow.stack_pointer = fresh.stack + stack_size - 64;
  fresh.flow.resume_at = reinterpret_cast<void*>(&rt_model_thread_start);
  next_[number] = {};
}

void execution::thread_main() {
  model_thread& mine = threads_[running_];
  --inside;
  try {
    mine.body();
  } catch (...) {
    fail("an exception left the thread");
  }
  ++inside;
  mine.state = phase::finished;
  go_on(running_);
  std::abort();
}

void execution::leave(end how) {
  how_ = how;
  rt::detail::context abandoned;
  inside = 1;
  switch_context(abandoned, outside_);
  std::abort();
}

void execution::fail(const std::string& what) {
  ++inside;
  failure_ = what;
  leave(end::failed);
}

bool execution::can_go_on(int thread) {
  model_thread& one = threads_[thread];
  if (one.state != phase::waiting) return false;
  const operation& next = next_[thread];
  switch (next.what) {
    case step::exchange:
      return !next.lock || memory_.newest(next.address, next.size) != 1;
    case step::block:
      return next.condition(memory_.newest(next.address, next.size), next.data);
    case step::join: {
      for (int i = 0; i < count_; ++i) {
        if (i != thread && threads_[i].state != phase::finished) return false;
      }
      return true;
    }
    default:
      return true;
  }
}

thread_set execution::able() {
  thread_set enabled = 0;
  for (int i = 0; i < count_; ++i) {
    if (can_go_on(i)) enabled |= thread_set{1} << i;
  }
  return enabled;
}

// The thread `from` has come to its next step, or to its end: whoever is picked takes one.
void execution::go_on(int from) {
  thread_set enabled = able();
  if (enabled == 0) {
    std::string waiting;
    for (int i = 0; i < count_; ++i) {
      if (threads_[i].state != phase::waiting) continue;
      waiting += "\n  thread " + std::to_string(i) + " waits at " + describe_site(next_[i].site);
    }
    if (waiting.empty()) leave(end::complete);
    fail("deadlock: no thread can go on" + waiting);
  }
  int running = threads_[from].state == phase::finished ? -1 : from;
  int picked = explorer_.pick(enabled, running, next_);
  if (!explorer_.confusion().empty()) {
    fail("the body does not do the same each time: " + explorer_.confusion());
  }
  if (picked < 0) leave(end::redundant);
  if (++steps_ > static_cast<std::uint64_t>(bounds_.most_steps)) fail("livelock: no end after so many steps");
  threads_[picked].memory.event = explorer_.last_event();
  if (picked != from) switch_to(picked);
}

void execution::switch_to(int thread) {
  model_thread& mine = threads_[running_];
  model_thread& other = threads_[thread];
  mine.worker_slot = rt::os::worker_slot();
  rt::os::set_worker_slot(other.worker_slot);
  swap_exceptions(mine.exceptions, other.exceptions);
  running_ = thread;
  switch_context(mine.flow, other.flow);
}

void execution::take_turn(const operation& one) {
  next_[running_] = one;
  if (one.site != 0 && one.what != step::block) sites_.emplace(one.site, one);
  go_on(running_);
}

void execution::note(const operation& one, const effect& done, bool success) {
  records_.push_back({running_, one, done, success});
}

std::uint64_t execution::load(operation one) {
  unwatched guard;
  if (mutation_.applies(one) && mutation_.what == change::weaker_order) one.order = mutation_.order;
  take_turn(one);
  effect done;
  memory_.load(threads_[running_].memory, one, done);
  if (one.may_be_stale()) explorer_.observed(running_, done.read_event);
  note(one, done);
  return done.read;
}

void execution::store(operation one, std::uint64_t value) {
  unwatched guard;
  if (mutation_.applies(one) && mutation_.what == change::weaker_order) one.order = mutation_.order;
  take_turn(one);
  effect done;
  memory_.store(threads_[running_].memory, one, value, done);
  note(one, done);
}

std::uint64_t execution::exchange(operation one, const std::function<std::uint64_t(std::uint64_t)>& change_value) {
  if (mutation_.applies(one) && mutation_.what == change::split) {
    operation half = one;
    half.lock = false;
    half.what = step::load;
    half.order = acquires(one.order) ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED;
    std::uint64_t before = load(half);
    half.what = step::store;
    half.order = releases(one.order) ? __ATOMIC_RELEASE : __ATOMIC_RELAXED;
    store(half, change_value(before));
    return before;
  }
  unwatched guard;
  if (mutation_.applies(one) && mutation_.what == change::weaker_order) one.order = mutation_.order;
  take_turn(one);
  effect done;
  memory_.exchange(threads_[running_].memory, one, change_value, done);
  note(one, done);
  return done.read;
}

bool execution::compare_exchange(operation one, std::uint64_t& expected, std::uint64_t wanted) {
  if (mutation_.applies(one) && mutation_.what == change::split) {
    operation half = one;
    half.what = step::load;
    half.order = acquires(one.order) ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED;
    std::uint64_t before = load(half);
    if (before != expected) {
      expected = before;
      return false;
    }
    half.what = step::store;
    half.order = releases(one.order) ? __ATOMIC_RELEASE : __ATOMIC_RELAXED;
    store(half, wanted);
    return true;
  }
  unwatched guard;
  if (mutation_.applies(one) && mutation_.what == change::weaker_order) one.order = mutation_.order;
  if (mutation_.applies(one) && mutation_.what == change::weaker_failure) one.failure_order = __ATOMIC_RELAXED;
  take_turn(one);
  effect done;
  bool success = memory_.compare_exchange(threads_[running_].memory, one, expected, wanted, done);
  note(one, done, success);
  return success;
}

void execution::fence(operation one) {
  if (mutation_.applies(one) && mutation_.what == change::no_fence) return;
  unwatched guard;
  if (mutation_.applies(one) && mutation_.what == change::weaker_order) one.order = mutation_.order;
  take_turn(one);
  memory_.fence(threads_[running_].memory, one.order);
  note(one, {});
}

void execution::barrier(operation one) {
  unwatched guard;
  take_turn(one);
  // The caller's fence comes before those of the others, which so see what it has stored, and after them.
  memory_.fence(threads_[running_].memory, one.order);
  for (int i = 0; i < count_; ++i) {
    if (i != running_) memory_.fence(threads_[i].memory, one.order);
  }
  memory_.fence(threads_[running_].memory, one.order);
  note(one, {});
}

void execution::plain(const volatile void* address, std::size_t size, bool write, std::uintptr_t site) {
  unwatched guard;
  memory_.plain(threads_[running_].memory, address, size, write, site);
}

void execution::freed(void* address, std::size_t size, std::uintptr_t site) {
  unwatched guard;
  memory_.freed(threads_[running_].memory, address, size, site);
}

void execution::block(operation one) {
  unwatched guard;
  take_turn(one);
  effect done;
  memory_.load(threads_[running_].memory, one, done, true);
  note(one, done);
}

void execution::join_all() {
  unwatched guard;
  operation one;
  one.what = step::join;
  take_turn(one);
  knowledge& mine = threads_[running_].memory.known;
  for (int i = 0; i < count_; ++i) {
    if (i == running_) continue;
    ++threads_[i].memory.known.happened.ticks[i];
    mine.join(threads_[i].memory.known);
    threads_[running_].memory.caused.join(threads_[i].memory.caused);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The trace

std::string execution::name_of(const volatile void* address) const {
  auto after = names_.upper_bound(address);
  if (after != names_.begin()) {
    const auto& [base, text] = *--after;
    auto distance =
        static_cast<std::size_t>(static_cast<const volatile char*>(address) - static_cast<const volatile char*>(base));
    if (distance == 0) return text;
    if (distance < 4096) return text + "+" + std::to_string(distance);
  }
  char text[32];
  std::snprintf(text, sizeof text, "%p", const_cast<const void*>(address));
  return text;
}

std::string execution::describe_step(const step_record& one) const {
  static constexpr const char* names[] = {"start", "load",  "store", "exchange", "compare-exchange",
                                          "fence", "block", "join",  "end",      "barrier"};
  std::string line = "thread " + std::to_string(one.thread) + "  " + names[static_cast<int>(one.what.what)];
  if (one.what.what == step::fence || one.what.what == step::barrier) {
    line += std::string(" ") + order_name(one.what.order);
  } else {
    line += " " + name_of(one.what.address);
    char values[96];
    if (one.what.what == step::load || one.what.what == step::block) {
      std::snprintf(values, sizeof values, " = %#lx", static_cast<unsigned long>(one.done.read));
    } else if (one.what.what == step::store) {
      std::snprintf(values, sizeof values, " := %#lx", static_cast<unsigned long>(one.done.written));
    } else if (one.done.did_write) {
      std::snprintf(values, sizeof values, " %#lx -> %#lx", static_cast<unsigned long>(one.done.read),
                    static_cast<unsigned long>(one.done.written));
    } else {
      std::snprintf(values, sizeof values, " failed on %#lx", static_cast<unsigned long>(one.done.read));
    }
    line += values;
    line += std::string(" ") + order_name(one.success ? one.what.order : one.what.failure_order);
    if (one.done.behind != 0) line += " (" + std::to_string(one.done.behind) + " newer)";
  }
  if (line.size() < 72) line.resize(72, ' ');
  return line + "  " + describe_site(one.what.site);
}

std::string execution::trace() const {
  std::vector<std::uintptr_t> addresses;
  std::string text;
  int number = 0;
  for (const step_record& one : records_) {
    char prefix[16];
    std::snprintf(prefix, sizeof prefix, "  %4d ", ++number);
    text += prefix + describe_step(one) + "\n";
  }
  return text;
}

}  // namespace rt_model
