// Stackless green threads (rt/coroutine.h).
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "rt/rt.h"
#include "rt/test.h"
#include "runtime/sched/coroutine_crew.h"
#include "runtime/sched/frame_list.h"
#include "runtime/sched/park.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/seeds.h"
#include "tests/runtime/waiting.h"

namespace {

using namespace std::chrono_literals;
using rt_test::eventually;
using rt_test::scaled;
RT_ON_PROCS(coroutines);

rt::coroutine<int> twice(int number) { co_return 2 * number; }

rt::coroutine<int> sum_of(rt::chan<int> numbers) {
  int sum = 0;
  while (std::optional<int> number = co_await rt::async_recv(numbers)) sum += co_await twice(*number);
  co_return sum;
}

rt::coroutine<> add_up(rt::chan<int> numbers, rt::chan<int> result) {
  co_await rt::async_send(result, co_await sum_of(numbers));
}

TEST_P(coroutines, await_channels_and_each_other) {
  run([] {
    rt::chan<int> numbers;
    rt::chan<int> result;
    rt::go(add_up(numbers, result));
    for (int i = 1; i <= 100; ++i) numbers.send(i);
    numbers.close();
    EXPECT_EQ(result.recv(), 2 * 5050);
  });
}

rt::coroutine<> forward(rt::chan<int> from, rt::chan<int> to) {
  while (std::optional<int> one = co_await rt::async_recv(from)) co_await rt::async_send(to, *one + 1);
  to.close();
}

// Values through a long chain of coroutines with channels of all kinds of capacity between.
TEST_P(coroutines, pass_values_on_in_order) {
  run([] {
    constexpr int length = 40;
    const int values = scaled(2000);
    rt::chan<int> first(1);
    rt::chan<int> last = first;
    for (int i = 0; i < length; ++i) {
      rt::chan<int> next(static_cast<std::size_t>(i % 3));
      rt::go(forward(last, next));
      last = next;
    }
    rt::go([&] {
      for (int i = 0; i < values; ++i) first.send(i);
      first.close();
    });
    int expected = length;
    for (int value : last) EXPECT_EQ(value, expected++);
    EXPECT_EQ(expected, values + length);
  });
}

rt::coroutine<> sleep_and_tell(std::chrono::nanoseconds length, rt::chan<std::chrono::nanoseconds> slept) {
  const rt::time_point before = rt::now();
  co_await rt::async_sleep_for(length);
  co_await rt::async_send(slept, rt::now() - before);
}

TEST_P(coroutines, sleep_at_least_as_long_as_asked) {
  run([] {
    rt::chan<std::chrono::nanoseconds> slept;
    for (auto length : {-1ns, 0ns, 1000ns, 3'000'000ns}) {
      rt::go(sleep_and_tell(length, slept));
      EXPECT_GE(*slept.recv(), length);
    }
  });
}

rt::coroutine<> receive_with_time_out(rt::chan<int> empty, rt::chan<rt::chan_status> outcome) {
  rt::chan_status status = rt::chan_status::ok;
  std::optional<int> none = co_await rt::async_recv_for(empty, 2ms, &status);
  EXPECT_FALSE(none);
  outcome.send(status);
  EXPECT_EQ(co_await rt::async_recv_for(empty, 1h, &status), 7);
  outcome.send(status);
  EXPECT_FALSE(co_await rt::async_recv_for(empty, 1h, &status));
  outcome.send(status);
}

TEST_P(coroutines, receive_with_a_time_out) {
  run([] {
    rt::chan<int> empty;
    rt::chan<rt::chan_status> outcome;
    rt::go(receive_with_time_out(empty, outcome));
    EXPECT_EQ(outcome.recv(), rt::chan_status::timed_out);
    empty.send(7);
    EXPECT_EQ(outcome.recv(), rt::chan_status::ok);
    empty.close();
    EXPECT_EQ(outcome.recv(), rt::chan_status::closed);
  });
}

rt::coroutine<> send_on(rt::chan<int> closed, rt::chan<std::string> told) {
  std::string text;
  try {
    co_await rt::async_send(closed, 1);
  } catch (const rt::channel_closed& error) {
    text = error.what();
  }
  told.send(text);
}

TEST_P(coroutines, throw_what_green_threads_throw) {
  run([] {
    rt::chan<std::string> told(2);
    rt::chan<int> waiting;
    rt::go(send_on(waiting, told));
    rt::sleep_for(1ms);
    waiting.close();
    rt::go(send_on(waiting, told));
    for (int i = 0; i < 2; ++i) EXPECT_NE(told.recv()->find("the channel is closed"), std::string::npos);
  });
}

rt::coroutine<int> fails(bool really) {
  co_await rt::async_yield();
  if (really) throw std::runtime_error("from within");
  co_return 0;
}

rt::coroutine<> catches(rt::chan<std::string> told) {
  std::string text;
  try {
    co_await fails(true);
  } catch (const std::runtime_error& error) {
    text = error.what();
  }
  co_await rt::async_send(told, text);
}

TEST_P(coroutines, hand_exceptions_to_who_awaits) {
  run([] {
    rt::chan<std::string> told;
    rt::go(catches(told));
    EXPECT_EQ(told.recv(), "from within");
  });
}

rt::coroutine<> block_as_a_green_thread(rt::mutex& lock, rt::chan<int> go_on, rt::wait_group& all, int& count) {
  std::optional<int> token = go_on.recv();  // not awaited: keeps its carrier
  EXPECT_TRUE(token);
  {
    std::lock_guard guard(lock);
    ++count;
  }
  all.done();
  co_return;
}

// Each keeps a carrier, and still those that come later run.
TEST_P(coroutines, may_block_without_co_await) {
  run([] {
    constexpr int many = 50;
    rt::mutex lock;
    rt::chan<int> go_on;
    rt::wait_group all;
    int count = 0;
    all.add(many);
    for (int i = 0; i < many; ++i) rt::go(block_as_a_green_thread(lock, go_on, all, count));
    rt::chan<int> result;
    rt::chan<int> numbers;
    rt::go(add_up(numbers, result));
    numbers.send(4);
    numbers.close();
    EXPECT_EQ(result.recv(), 8);
    for (int i = 0; i < many; ++i) go_on.send(i);
    all.wait();
    EXPECT_EQ(count, many);
  });
}

rt::coroutine<> compute_until(const std::atomic<bool>& over) {
  while (!over.load(std::memory_order_relaxed)) rt::checkpoint();
  co_return;
}

TEST_P(coroutines, that_compute_keep_nobody_from_running) {
  run([] {
    std::atomic<bool> over{false};
    for (int i = 0; i < 4; ++i) rt::go(compute_until(over));
    rt::chan<int> result;
    rt::chan<int> numbers;
    rt::go(add_up(numbers, result));
    for (int i = 0; i < 10; ++i) numbers.send(1);
    numbers.close();
    EXPECT_EQ(result.recv(), 20);
    over = true;
  });
}

rt::coroutine<int> deep(int levels, rt::chan<int> gate) {
  if (levels == 0) co_return (co_await rt::async_recv(gate)).value_or(-1);
  int below = co_await deep(levels - 1, gate);
  co_return below + 1;
}

rt::coroutine<> from_the_deep(rt::chan<int> gate, rt::chan<int> result) {
  co_await rt::async_send(result, co_await deep(10'000, gate));
}

// Neither the calls nor the returns take stack.
TEST_P(coroutines, call_each_other_deeply) {
  run([] {
    rt::chan<int> gate;
    rt::chan<int> result;
    rt::go(from_the_deep(gate, result));
    gate.send(3);
    EXPECT_EQ(result.recv(), 10'003);
  });
}

rt::coroutine<> many_returns(rt::chan<int> result) {
  int sum = 0;
  for (int i = 0; i < 100'000; ++i) sum += co_await twice(1);
  co_await rt::async_send(result, sum);
}

TEST_P(coroutines, call_each_other_often) {
  run([] {
    rt::chan<int> result;
    rt::go(many_returns(result));
    EXPECT_EQ(result.recv(), 200'000);
  });
}

struct counted {
  explicit counted(std::atomic<int>& count) : count_(&count) { ++*count_; }
  counted(counted&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  ~counted() {
    if (count_ != nullptr) --*count_;
  }
  counted& operator=(counted&&) = delete;
  std::atomic<int>* count_;
};

rt::coroutine<> keep(counted one, rt::chan<int> until) {
  counted mine(*one.count_);
  co_await rt::async_recv(until);
}

TEST_P(coroutines, destroy_their_parameters_and_variables) {
  run([] {
    std::atomic<int> alive{0};
    {
      rt::coroutine<> never_begun = keep(counted(alive), rt::chan<int>());
      EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    rt::chan<int> until;
    for (int i = 0; i < 10; ++i) rt::go(keep(counted(alive), until));
    EXPECT_TRUE(eventually([&] { return alive == 20; }));
    until.close();
    EXPECT_TRUE(eventually([&] { return alive == 0; }));
  });
}

rt::coroutine<> refuse_copy_of(rt::coroutine<int> one) { EXPECT_EQ(co_await std::move(one), 6); }

TEST_P(coroutines, are_awaited_wherever_they_were_made) {
  run([] {
    rt::go(refuse_copy_of(twice(3)));
    rt::coroutine<> empty = refuse_copy_of(twice(3));
    rt::coroutine<> full = std::move(empty);
    EXPECT_THROW(rt::go(std::move(empty)), rt::usage_error);  // NOLINT(bugprone-use-after-move)
    rt::go(std::move(full));
  });
}

rt::coroutine<> lock_over_co_await(rt::chan<std::string> told, bool os_thread) {
  std::string text;
  std::mutex lock;
  if (os_thread) rt::lock_os_thread();
  if (!os_thread) lock.lock();
  try {
    co_await rt::async_sleep_for(1ns);
  } catch (const rt::usage_error& error) {
    text = error.what();
  }
  if (os_thread) rt::unlock_os_thread();
  if (!os_thread) lock.unlock();
  co_await rt::async_send(told, text);
}

TEST_P(coroutines, may_not_leave_a_kernel_thread_that_they_are_bound_to) {
  run([] {
    rt::chan<std::string> told;
    rt::go(lock_over_co_await(told, true));
    EXPECT_NE(told.recv()->find("rt::lock_os_thread"), std::string::npos);
  });
}

rt::local<int> own;
const rt::context_key<int> bound_key;

rt::coroutine<> use_values(int mine, rt::chan<int> turn, rt::wait_group& all) {
  *own = mine;
  for (int i = 0; i < 20; ++i) {
    co_await rt::async_yield();
    EXPECT_EQ(*own, mine);
    rt::context_scope bound(rt::with_value(rt::current_context(), bound_key, mine));
    rt::cancellation_shield shield;
    co_await rt::async_recv_for(turn, 100us);
    EXPECT_EQ(*rt::current_context().value(bound_key), mine);
  }
  all.done();
}

TEST_P(coroutines, have_values_and_contexts_of_their_own) {
  run([] {
    constexpr int many = 20;
    rt::chan<int> turn;
    rt::wait_group all;
    all.add(many);
    for (int i = 1; i <= many; ++i) rt::go(use_values(i, turn, all));
    all.wait();
  });
}

rt::coroutine<> wait_within(rt::context within, rt::chan<int> empty, bool with_stack, rt::chan<int> told) {
  int outcome = 0;
  try {
    rt::context_scope obey(within);
    if (with_stack) {
      empty.recv();
    } else {
      co_await rt::async_recv(empty);
    }
  } catch (const rt::context_error&) {
    outcome = 1;
  }
  co_await rt::async_send(told, outcome);
}

TEST_P(coroutines, obey_the_contexts_that_they_bind) {
  run([] {
    for (int i = 0; i < scaled(200); ++i) {
      rt::cancellable_context within = rt::with_cancel(rt::current_context());
      rt::chan<int> empty;
      rt::chan<int> told;
      rt::go(wait_within(within, empty, i % 2 == 0, told));
      if (i % 3 != 0) rt::yield();
      if (i % 5 == 0) rt::sleep_for(50us);
      within.cancel();
      EXPECT_EQ(told.recv(), 1);
    }
  });
}

// Of the group: what all_green_threads finds without a stack in this state.
std::size_t count_waiting(std::string_view state) {
  std::size_t count = 0;
  rt::detail::coroutines().for_each([&](const rt::detail::coroutine_record& one) {
    if (one.crew.load() == nullptr || one.where.load() != rt::detail::phase::waiting) return;
    if (state == rt::detail::to_text(one.waits_for.load())) ++count;
  });
  return count;
}

rt::coroutine<> wait_for_ever(rt::chan<int> gate, bool with_stack, std::atomic<int>& unwound) {
  struct at_the_end {
    std::atomic<int>& unwound;
    ~at_the_end() { ++unwound; }
  } note{unwound};
  if (with_stack) gate.recv();
  co_await rt::async_recv(gate);
}

rt::coroutine<> awaits_one_that_waits(rt::chan<int> gate, std::atomic<int>& unwound) {
  co_await wait_for_ever(gate, false, unwound);
}

TEST(cancelled_coroutines, unwind) {
  std::atomic<int> unwound{0};
  EXPECT_THROW(rt::run([&] {
                 rt::chan<int> gate;
                 for (int i = 0; i < 100; ++i) rt::go(wait_for_ever(gate, i % 10 == 0, unwound));
                 for (int i = 0; i < 100; ++i) rt::go(awaits_one_that_waits(gate, unwound));
                 EXPECT_TRUE(eventually([] { return count_waiting("chan receive") == 190; }));
                 throw std::runtime_error("the end");
                 return 0;
               }),
               std::runtime_error);
  EXPECT_EQ(unwound, 200);
}

TEST_P(coroutines, are_told_of_in_dumps) {
  run([] {
    rt::chan<int> gate;
    std::atomic<int> unwound{0};
    rt::go(awaits_one_that_waits(gate, unwound), "a waiting one");
    EXPECT_TRUE(eventually([] { return count_waiting("chan receive") == 1; }));
    EXPECT_EQ(rt::read_stats().green_threads, 2U);
    bool found = false;
    for (const rt::green_thread_info& one : rt::all_green_threads()) {
      if (one.name != "a waiting one") continue;
      found = true;
      EXPECT_EQ(one.state, "chan receive");
      EXPECT_EQ(one.frames.size(), 1U);
    }
    EXPECT_TRUE(found);
    gate.close();
    EXPECT_TRUE(eventually([] { return rt::read_stats().green_threads == 1; }));
    // Without coroutines no carrier stays.
    EXPECT_TRUE(eventually([] { return rt::all_green_threads().size() == 1; }));
  });
}

struct node {
  rt::ref<node> next;
  std::uint64_t number = 0;
  std::uint64_t check = 0;  // by which a node that was collected and used again is told
};

std::uint64_t check_of(std::uint64_t number) { return number * 0x9e3779b97f4a7c15U + 1; }

node* make_node(std::uint64_t number, node* next) {
  node* fresh = rt::make<node>();
  fresh->next = next;
  fresh->number = number;
  fresh->check = check_of(number);
  return fresh;
}

bool is_whole(const node* first, std::uint64_t length) {
  for (; first != nullptr; first = first->next, --length) {
    if (first->number != length || first->check != check_of(length)) return false;
  }
  return length == 0;
}

// What it is given and what it returns is nowhere else meanwhile.
rt::coroutine<node*> append(node* to, std::uint64_t number) {
  if (number % 3 == 0) co_await rt::async_yield();
  node* fresh = make_node(number, to);
  if (number % 5 == 0) co_await rt::async_sleep_for(std::chrono::nanoseconds(number % 7 * 10'000));
  co_return fresh;
}

rt::coroutine<> build_lists(rt::chan<node*> through, rt::chan<bool> whole, std::uint64_t length) {
  bool all = true;
  node* list = nullptr;
  for (std::uint64_t i = 1; i <= length; ++i) {
    list = co_await append(list, i);
    for (int garbage = 0; garbage < 20; ++garbage) rt::keep_alive(rt::make<node>());
    if (i % 4 == 0) {
      co_await rt::async_send(through, std::exchange(list, nullptr));
      // It comes back, or another one's does, which is as long: all send after as many steps.
      list = *co_await rt::async_recv(through);
      all = all && list != nullptr && list->number == i;
    }
    all = all && is_whole(list, list == nullptr ? 0 : list->number);
    list = list == nullptr || list->number != i ? nullptr : list;
    if (list == nullptr) break;
  }
  co_await rt::async_send(whole, all && is_whole(list, length));
}

// One list goes round for each coroutine; each has a channel of its own, from which it gets what it has sent.
TEST_P(coroutines, keep_alive_what_their_frames_refer_to) {
  run([] {
    constexpr int many = 30;
    rt::chan<bool> whole;
    std::atomic<bool> over{false};
    rt::wait_group collecting;
    collecting.go([&] {
      while (!over) {
        rt::gc();
        rt::yield();
      }
    });
    for (int i = 0; i < many; ++i) {
      rt::go(build_lists(rt::chan<node*>(1), whole, static_cast<std::uint64_t>(scaled(200))));
    }
    for (int i = 0; i < many; ++i) EXPECT_EQ(whole.recv(), true);
    over = true;
    collecting.wait();
  });
}

// Takes lists out of a buffer and puts them back, so that in between they are in its frame alone, and never waits.
rt::coroutine<> shuffle_lists(rt::chan<node*> lists, const std::atomic<bool>& over, rt::chan<bool> whole) {
  bool all = true;
  while (!over.load(std::memory_order_relaxed)) {
    node* mine = *co_await rt::async_recv(lists);
    rt::keep_alive(&mine);
    for (int garbage = 0; garbage < 50; ++garbage) rt::keep_alive(rt::make<node>());
    all = all && is_whole(mine, mine->number);
    co_await rt::async_send(lists, std::exchange(mine, nullptr));
  }
  co_await rt::async_send(whole, all);
}

TEST_P(coroutines, keep_alive_what_they_hold_while_they_run) {
  run([] {
    constexpr int many = 3;
    rt::chan<node*> lists(64);
    rt::chan<bool> whole;
    for (std::uint64_t i = 1; i <= 40; ++i) {
      node* list = nullptr;
      for (std::uint64_t number = 1; number <= i; ++number) list = make_node(number, list);
      lists.send(list);
    }
    std::atomic<bool> over{false};
    for (int i = 0; i < many; ++i) rt::go(shuffle_lists(lists, over, whole));
    for (int i = 0; i < scaled(200); ++i) rt::gc();
    over = true;
    for (int i = 0; i < many; ++i) EXPECT_EQ(whole.recv(), true);
  });
}

rt::coroutine<> hold(node* list, std::uint64_t length, rt::chan<int> gate, rt::chan<bool> whole) {
  co_await rt::async_recv(gate);
  co_await rt::async_send(whole, is_whole(list, length));
}

rt::coroutine<> hold_within(node* list, std::uint64_t length, rt::chan<int> gate, rt::chan<bool> whole) {
  co_await hold(std::exchange(list, nullptr), length, gate, whole);
}

// Their arguments are nowhere but in frames that have not begun, or wait, while collections pass.
TEST_P(coroutines, keep_alive_what_they_were_given) {
  run([] {
    rt::chan<int> gate;
    rt::chan<bool> whole;
    std::vector<rt::coroutine<>> later;  // in memory that no collection sees
    constexpr std::uint64_t many = 60;
    for (std::uint64_t i = 0; i < many; ++i) {
      node* list = nullptr;
      for (std::uint64_t number = 1; number <= i; ++number) list = make_node(number, list);
      later.push_back(i % 2 == 0 ? hold(list, i, gate, whole) : hold_within(list, i, gate, whole));
    }
    for (int i = 0; i < 3; ++i) rt::gc();
    for (rt::coroutine<>& one : later) rt::go(std::move(one));
    for (int i = 0; i < 3; ++i) rt::gc();
    gate.close();
    for (std::uint64_t i = 0; i < many; ++i) EXPECT_EQ(whole.recv(), true);
  });
}

rt::coroutine<> drop(rt::chan<int> gate, rt::chan<int> end, rt::chan<rt::weak<node>> told) {
  node* kept = make_node(1, nullptr);
  co_await rt::async_send(told, rt::weak<node>(kept));
  co_await rt::async_recv(gate);
  EXPECT_TRUE(is_whole(kept, 1));
  kept = nullptr;
  rt::keep_alive(&kept);
  co_await rt::async_recv(end);
}

// What is no longer in a frame is collected, and so is the frame of an ended one.
TEST_P(coroutines, keep_nothing_else_alive) {
  run([] {
    if (rt_test::is_stressed()) GTEST_SKIP() << "collections at any time";
    rt::chan<int> gate;
    rt::chan<int> end;
    rt::chan<rt::weak<node>> told;
    constexpr int many = 20;
    std::vector<rt::weak<node>> kept;
    for (int i = 0; i < many; ++i) rt::go(drop(gate, end, told));
    for (int i = 0; i < many; ++i) kept.push_back(*told.recv());
    rt::gc();
    for (const rt::weak<node>& one : kept) EXPECT_NE(one.lock(), nullptr);
    for (int i = 0; i < many; ++i) gate.send(i);
    EXPECT_TRUE(eventually([&] { return count_waiting("chan receive") == many; }));
    // A stale word on some stack may keep one or another.
    EXPECT_TRUE(eventually([&] {
      rt::gc();
      int dead = 0;
      for (const rt::weak<node>& one : kept) dead += one.lock() == nullptr ? 1 : 0;
      return dead >= many / 2;
    }));
    end.close();
  });
}

rt::coroutine<bool> awaits_in_a_condition(rt::chan<int> gate) {
  if (co_await rt::async_recv(gate)) co_return true;
  co_return false;
}

rt::coroutine<> awaits_one_that_awaits_in_a_condition(rt::chan<int> gate, rt::chan<std::string> told) {
  std::string text;
  try {
    text = co_await awaits_in_a_condition(gate) ? "true" : "false";
  } catch (const rt::usage_error& error) {
    text = error.what();
  }
  co_await rt::async_send(told, text);
}

// GCC 12 cannot compile one without variables right: whoever writes one is told.
TEST_P(coroutines, that_the_compiler_has_spoilt_are_refused) {
  run([] {
    rt::chan<int> gate(1);
    rt::chan<std::string> told;
    gate.send(1);
    rt::go(awaits_one_that_awaits_in_a_condition(gate, told));
    const std::string text = told.recv().value_or("");
    if (text != "true") {
      EXPECT_NE(text.find("put what the co_await gives into a variable first"), std::string::npos) << text;
    }
  });
}

std::atomic<int> failures{0};

// A task of its own: the runtime's other green threads are not its.
struct failing_task {
  failing_task()
      : of("fails", 0, [](rt::detail::group&, std::exception_ptr error) noexcept {
          try {
            std::rethrow_exception(std::move(error));
          } catch (const std::runtime_error&) {
            ++failures;
          } catch (...) {
            ADD_FAILURE() << "another exception";
          }
        }) {}
  rt::detail::group of;
};

rt::coroutine<> fails_in_the_end(rt::chan<int> gate, rt::detail::group* mine) {
  EXPECT_EQ(rt::detail::current_group(), mine);
  co_await fails(false);
  co_await rt::async_recv(gate);
  co_await fails(true);
}

TEST_P(coroutines, fail_their_task_and_are_cancelled_with_it) {
  run([] {
    failures = 0;
    failing_task task;
    rt::chan<int> gate;
    rt::chan<int> never;
    std::atomic<int> unwound{0};
    rt::detail::spawn(&task.of.domain, rt::go_options{}, [&] {
      rt::go(fails_in_the_end(gate, &task.of));
      rt::go(fails_in_the_end(never, &task.of));
      rt::go(awaits_one_that_waits(never, unwound));
    });
    EXPECT_TRUE(eventually([] { return count_waiting("chan receive") == 3; }));
    EXPECT_TRUE(eventually([&] { return task.of.live() == 3; }));  // the one that has started them is gone
    gate.send(1);
    EXPECT_TRUE(eventually([] { return failures == 1; }));
    EXPECT_TRUE(eventually([&] { return task.of.live() == 2; }));
    task.of.domain.cancel();
    EXPECT_TRUE(task.of.wait_until_at_most(0, INT64_MAX));
    EXPECT_EQ(unwound, 1);
    EXPECT_EQ(failures, 1);
  });
}

rt::coroutine<> tick(int times, rt::chan<int> ticks) {
  for (int i = 0; i < times; ++i) {
    co_await rt::async_sleep_for(1h);
    co_await rt::async_send(ticks, i);
  }
  ticks.close();
}

// Virtual time, in any order of those that can run.
TEST(coroutines_in_a_bubble, sleep_without_waiting) {
  rt::test::explore(20, [](std::uint64_t) {
    rt::chan<int> ticks;
    const rt::time_point before = rt::now();
    rt::go(tick(10, ticks));
    int sum = 0;
    for (int one : ticks) sum += one;
    if (sum != 45 || rt::now() - before != 10h) throw std::runtime_error("ticks are lost, or come early or late");
  });
}

}  // namespace
