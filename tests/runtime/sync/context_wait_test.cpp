// Waiting with contexts: every blocking call, after_func, and how they stand to cancellation.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>

#include "rt/rt.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/waiting.h"

namespace {

using namespace std::chrono_literals;
using rt_test::eventually;
RT_ON_PROCS(context_waits);

// What all blocking calls wait for in vain.
struct never {
  rt::chan<int> empty;
  rt::chan<int> full;
  rt::chan<int> none{nullptr};
  rt::mutex held;
  rt::shared_mutex written;
  rt::shared_mutex read;
  rt::semaphore taken{1};
  rt::wait_group busy;
  rt::condition quiet;
  rt::once running;
  rt::chan<int> end_running;

  never() {
    held.lock();
    written.lock();
    read.lock_shared();
    taken.acquire();
    busy.add();
    rt::go([this] { running.call([this] { end_running.recv(); }); });
    EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
  }
  ~never() {
    held.unlock();
    EXPECT_TRUE(held.try_lock()) << "who gave up has left no trace";
    held.unlock();
    written.unlock();
    EXPECT_TRUE(written.try_lock());
    written.unlock();
    read.unlock_shared();
    EXPECT_TRUE(read.try_lock());
    read.unlock();
    taken.release();
    EXPECT_TRUE(taken.try_acquire());
    taken.release();
    busy.done();
    busy.wait();
    EXPECT_FALSE(empty.try_send(1));
    EXPECT_FALSE(full.try_recv().has_value());
    end_running.send(1);
    running.call([] {});
    EXPECT_TRUE(running.is_called());
  }
};

using wait = std::function<void(const rt::context&)>;

std::vector<wait> waits_of_a_scope(never& on) {
  return {
      [&](auto&) { on.empty.recv(); },
      [&](auto&) { on.full.send(1); },
      [&](auto&) { on.none.recv(); },
      [&](auto&) { on.empty.recv_for(1h); },
      [&](auto&) { rt::select(rt::on_recv(on.empty, [](auto) {}), rt::on_send(on.full, 1, [] {})); },
      [&](auto&) { rt::select(); },
      [&](auto&) { on.held.lock(); },
      [&](auto&) { on.written.lock(); },
      [&](auto&) { on.written.lock_shared(); },
      [&](auto&) { on.read.lock(); },
      [&](auto&) { on.taken.acquire(); },
      [&](auto&) { on.taken.try_acquire_for(1h); },
      [&](auto&) { on.busy.wait(); },
      [&](auto&) { on.running.call([] { ADD_FAILURE(); }); },
      [&](auto&) { rt::sleep_for(1h); },
      [&](auto&) {
        rt::mutex mine;
        std::unique_lock<rt::mutex> lock(mine);
        try {
          on.quiet.wait(lock);
        } catch (...) {
          EXPECT_FALSE(mine.try_lock()) << "the lock is held when wait throws";
          throw;
        }
      },
      [&](auto&) {
        rt::scope inside;
        inside.go([&] { on.empty.recv(); });
        inside.wait();
      },
      [&](auto&) {
        while (true) rt::yield();
      },
      [&](auto&) {
        while (true) rt::checkpoint();
      },
  };
}

std::vector<wait> waits_with_a_parameter(never& on) {
  return {
      [&](auto& within) { on.empty.recv(within); },
      [&](auto& within) { on.full.send(within, 1); },
      [&](auto& within) { on.none.recv(within); },
      [&](auto& within) { rt::select(within, rt::on_recv(on.empty, [](auto) {})); },
      [&](auto& within) { on.held.lock(within); },
      [&](auto& within) { on.written.lock(within); },
      [&](auto& within) { on.written.lock_shared(within); },
      [&](auto& within) { on.read.lock(within); },
      [&](auto& within) { on.taken.acquire(within); },
      [&](auto& within) { on.busy.wait(within); },
      [&](auto& within) { rt::sleep_for(within, 1h); },
      [&](auto& within) { rt::sleep_until(within, rt::now() + 1h); },
      [&](auto& within) {
        rt::mutex mine;
        std::unique_lock<rt::mutex> lock(mine);
        on.quiet.wait(within, lock);
      },
      [&](auto& within) {
        rt::mutex mine;
        std::unique_lock<rt::mutex> lock(mine);
        on.quiet.wait(within, lock, [] { return false; });
      },
      [&](auto& within) {
        rt::scope inside;
        inside.go([&] { on.empty.recv(); });
        inside.wait(within);
      },
  };
}

void expect_all_to_end(const std::vector<wait>& waits, const rt::context& within, bool bind,
                       const std::function<void()>& end, std::errc code, bool with_cause) {
  std::atomic<std::size_t> ended{0};
  rt::wait_group all;
  for (std::size_t i = 0; i < waits.size(); ++i) {
    all.go([&, i] {
      try {
        if (bind) {
          rt::context_scope obey(within);
          waits[i](within);
        } else {
          waits[i](within);
        }
        ADD_FAILURE() << "wait " << i << " returned";
      } catch (const rt::context_error& error) {
        EXPECT_EQ(error.code(), code) << "wait " << i;
        EXPECT_EQ(error.cause() != nullptr, with_cause) << "wait " << i;
        ++ended;
      } catch (...) {
        ADD_FAILURE() << "wait " << i << " threw something else";
      }
    });
  }
  if (end != nullptr) {  // else they end by a deadline
    EXPECT_TRUE(rt_test::come_to_wait_in("sync.Mutex.Lock"));
    end();
  }
  all.wait();
  EXPECT_EQ(ended.load(), waits.size());
}

TEST_P(context_waits, a_bound_context_ends_every_kind_of_wait) {
  run([] {
    never on;
    rt::cancellable_context work = rt::with_cancel(rt::current_context());
    expect_all_to_end(
        waits_of_a_scope(on), work, true, [&] { work.cancel(std::make_exception_ptr(std::runtime_error("why"))); },
        std::errc::operation_canceled, true);
  });
}

TEST_P(context_waits, a_context_as_parameter_ends_every_kind_of_wait) {
  run([] {
    never on;
    rt::cancellable_context top = rt::with_cancel(rt::current_context());
    rt::cancellable_context work = rt::with_cancel(top);
    expect_all_to_end(
        waits_with_a_parameter(on), work, false, [&] { top.cancel(); }, std::errc::operation_canceled, false);
    expect_all_to_end(waits_with_a_parameter(on), rt::with_timeout(rt::background(), 5ms), false, nullptr,
                      std::errc::timed_out, false);
  });
}

TEST_P(context_waits, an_ended_context_ends_calls_before_they_begin) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    work.cancel();
    rt::chan<int> ready(1);
    rt::mutex free;
    rt::shared_mutex free_too;
    rt::semaphore units(1);
    rt::wait_group zero;
    EXPECT_THROW(ready.send(work, 1), rt::context_error);
    EXPECT_EQ(ready.size(), 0u);
    EXPECT_THROW(ready.recv(work), rt::context_error);
    EXPECT_THROW(rt::select(work, rt::otherwise([] { ADD_FAILURE(); })), rt::context_error);
    EXPECT_THROW(free.lock(work), rt::context_error);
    EXPECT_TRUE(free.try_lock());
    EXPECT_THROW(free_too.lock(work), rt::context_error);
    EXPECT_THROW(free_too.lock_shared(work), rt::context_error);
    EXPECT_THROW(units.acquire(work), rt::context_error);
    EXPECT_EQ(units.available(), 1);
    EXPECT_THROW(zero.wait(work), rt::context_error);
    EXPECT_THROW(rt::sleep_for(work, 0s), rt::context_error);
  });
}

TEST_P(context_waits, a_living_context_changes_nothing) {
  run([] {
    rt::cancellable_context work = rt::with_timeout(rt::background(), 1h);
    rt::chan<int> values(1);
    values.send(work, 5);
    EXPECT_EQ(values.recv(work), 5);
    rt::go([&] { values.send(6); });
    EXPECT_EQ(values.recv(work), 6);
    values.close();
    EXPECT_EQ(values.recv(work), std::nullopt);
    EXPECT_THROW(values.send(work, 1), rt::channel_closed);
    rt::mutex lock;
    lock.lock(work);
    lock.unlock();
    rt::shared_mutex shared;
    shared.lock(work);
    shared.unlock();
    shared.lock_shared(work);
    shared.unlock_shared();
    rt::semaphore units(3);
    units.acquire(work, 2);
    units.release(2);
    rt::sleep_for(work, 1us);
    bool called = false;
    rt::select(work, rt::on_recv(values, [&](auto) {
                 called = true;
                 EXPECT_NE(rt::current_context().core(), work.core()) << "the handler is not bound to it";
               }));
    EXPECT_TRUE(called);
    rt::scope scope;
    scope.go([] { rt::sleep_for(1ms); });
    scope.wait(work);
  });
}

TEST_P(context_waits, scopes_of_contexts_nest) {
  run([] {
    rt::cancellable_context outer = rt::with_cancel(rt::background());
    rt::cancellable_context inner = rt::with_cancel(rt::background());
    rt::chan<int> empty;
    rt::wait_group all;
    all.go([&] {
      rt::context_scope first(outer);
      {
        rt::context_scope second(inner);
        EXPECT_THROW(empty.recv(), rt::context_error);
        EXPECT_FALSE(inner.ended()) << "the outer one is obeyed as well";
      }
      EXPECT_THROW(empty.recv(), rt::context_error);
    });
    EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
    outer.cancel();
    all.wait();
    inner.cancel();
    {
      rt::context_scope second(inner);
      EXPECT_THROW(empty.recv(), rt::context_error);
    }
    EXPECT_EQ(empty.recv_for(1us), std::nullopt) << "left, it is obeyed no more";
  });
}

TEST_P(context_waits, the_stop_of_a_scope_is_cancelled_as_ever) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    rt::scope scope;
    std::atomic<int> ended{0};
    scope.go([&] {
      try {
        rt::chan<int>().recv(work);
      } catch (const rt::cancelled&) {
        ++ended;
        throw;
      }
    });
    EXPECT_TRUE(rt_test::come_to_wait_in("chan receive"));
    scope.cancel();
    scope.wait();
    EXPECT_EQ(ended.load(), 1);
  });
}

TEST_P(context_waits, a_shield_holds_back_what_was_bound_outside) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    rt::chan<int> empty;
    rt::context_scope obey(work);
    work.cancel();
    {
      rt::cancellation_shield shield;
      EXPECT_EQ(empty.recv_for(1ms), std::nullopt);
      EXPECT_THROW(empty.recv(rt::with_timeout(rt::background(), 1ms)), rt::context_error)
          << "one that is bound inside counts";
    }
    EXPECT_THROW(empty.recv(), rt::context_error);
  });
}

TEST_P(context_waits, a_scope_passes_the_end_of_a_context_on_to_its_members) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    std::atomic<int> cancelled{0};
    rt::scope scope;
    for (int i = 0; i < 3; ++i) {
      scope.go([&] {
        try {
          rt::sleep_for(1h);
        } catch (const rt::cancelled&) {
          ++cancelled;
          throw;
        }
      });
    }
    rt::go([work] {
      rt::sleep_for(1ms);
      work.cancel();
    });
    EXPECT_THROW(scope.wait(work), rt::context_error);
    EXPECT_EQ(cancelled.load(), 3) << "they have ended before wait throws";
  });
}

TEST_P(context_waits, a_scope_can_be_waited_for_with_a_deadline) {
  run([] {
    rt::chan<int> go_on;
    rt::scope scope;
    scope.go([&] { go_on.recv(); });
    EXPECT_FALSE(scope.wait_for(2ms));
    EXPECT_FALSE(scope.wait_until(rt::now() + 1ms));
    go_on.send(1);
    EXPECT_TRUE(scope.wait_for(1h));
  });
}

TEST_P(context_waits, every_wait_has_a_deadline) {
  run([] {
    never on;
    auto soon = [] { return rt::now() + 1ms; };
    EXPECT_FALSE(on.held.try_lock_until(soon()));
    EXPECT_FALSE(on.written.try_lock_until(soon()));
    EXPECT_FALSE(on.written.try_lock_shared_until(soon()));
    EXPECT_FALSE(on.written.try_lock_for(1ms));
    EXPECT_FALSE(on.written.try_lock_shared_for(1ms));
    EXPECT_FALSE(on.taken.try_acquire_until(soon()));
    EXPECT_FALSE(on.busy.wait_until(soon()));
    rt::mutex mine;
    std::unique_lock<rt::mutex> lock(mine);
    EXPECT_FALSE(on.quiet.wait_until(lock, soon()));
    EXPECT_FALSE(on.quiet.wait_until(lock, soon(), [] { return false; }));
    EXPECT_TRUE(on.quiet.wait_until(lock, soon(), [] { return true; }));
  });
}

TEST_P(context_waits, after_func_runs_once_on_a_green_thread_of_its_own) {
  run([] {
    rt::cancellable_context work = rt::with_cancel(rt::background());
    rt::chan<std::uint64_t> ran;
    rt::after_func_handle handle = rt::after_func(work, [&] { ran.send(rt::green_thread_id()); });
    EXPECT_EQ(ran.recv_for(1ms), std::nullopt);
    work.cancel();
    std::optional<std::uint64_t> id = ran.recv();
    EXPECT_NE(id, rt::green_thread_id());
    EXPECT_FALSE(handle.stop()) << "it has begun";
    EXPECT_EQ(ran.recv_for(1ms), std::nullopt);
    rt::after_func(work, [&] { ran.send(1); });
    EXPECT_EQ(ran.recv(), 1u) << "at once when the context has ended";
  });
}

TEST_P(context_waits, after_func_can_be_taken_back) {
  run([] {
    std::size_t before = rt::num_green_threads();
    rt::cancellable_context work = rt::with_cancel(rt::background());
    std::atomic<int> ran{0};
    rt::after_func_handle handle = rt::after_func(work, [&] { ++ran; });
    EXPECT_TRUE(handle.stop());
    EXPECT_FALSE(handle.stop());
    EXPECT_TRUE(eventually([&] { return rt::num_green_threads() == before; })) << "its green thread ends";
    work.cancel();
    rt::sleep_for(1ms);
    EXPECT_EQ(ran.load(), 0);
    rt::after_func_handle idle = rt::after_func(rt::background(), [&] { ++ran; });
    EXPECT_EQ(rt::num_green_threads(), before) << "nothing waits for what never comes";
    EXPECT_TRUE(idle.stop());
  });
}

}  // namespace
