// Green threads that block signals, or fork, while the heap is collected.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "rt/rt.h"
#include "tests/runtime/computing.h"
#include "tests/runtime/gc/objects.h"
#include "tests/runtime/gc/sight.h"

namespace {

using rt_test::chain_length;
using rt_test::make_chain;
using rt_test::node;
using rt_test::tally;

// No signal reaches the calling kernel thread. Green threads do not change it meanwhile: nobody calls the runtime.
class all_signals_blocked {
 public:
  all_signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~all_signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  all_signals_blocked(const all_signals_blocked&) = delete;
  all_signals_blocked& operator=(const all_signals_blocked&) = delete;

 private:
  sigset_t before_{};
};

// It has a P, which no signal can take from it: the stop waits for its next call of the runtime.
TEST(blocked_signals, a_loop_is_waited_for_until_it_calls_the_runtime) {
  rt_test::in_runtime(2, [] {
    tally count;
    std::atomic<bool> begun{false};
    std::atomic<bool> end{false};
    std::atomic<bool> looked{false};
    const rt_test::sight_of_registers sight;
    rt::wait_group done;
    done.go([&] {
      node* volatile mine = make_chain(count, 20);  // on the stack: no more is seen, should it lose its P
      {
        all_signals_blocked here;
        begun = true;
        rt_test::compute_until(end);
      }
      while (!looked) rt::yield();  // what it refers to is alive until then, though the collection may end before it
      EXPECT_EQ(chain_length(mine), 20);
    });
    EXPECT_TRUE(rt_test::eventually([&] { return begun.load(); }));
    // Whether it has stopped the world before that or not: its end is not before this.
    std::thread releases([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      end = true;
    });
    rt::gc();
    EXPECT_TRUE(end || sight.is_lost()) << "a collection went on beside a green thread that ran";
    EXPECT_EQ(count.destroyed, 0);
    looked = true;
    done.wait();
    rt::blocking([&] { releases.join(); });
  });
}

// It has no P, and is not stopped: the collector gives up after 2 s the first time, and looks at its whole stack.
TEST(blocked_signals, in_rt_blocking_they_do_not_hold_up_collections_for_ever) {
  rt_test::in_runtime(2, [] {
    tally count;
    std::atomic<bool> begun{false};
    std::atomic<bool> end{false};
    rt::wait_group done;
    done.go([&] {
      rt::blocking([&] {
        node* volatile mine = make_chain(count, 20);
        {
          all_signals_blocked here;
          begun = true;
          while (!end.load(std::memory_order_relaxed)) usleep(100);
        }
        EXPECT_EQ(chain_length(mine), 20);
      });
    });
    EXPECT_TRUE(rt_test::eventually([&] { return begun.load(); }));
    for (int i = 0; i < 3; ++i) rt::gc();
    EXPECT_EQ(count.destroyed, 0);
    end = true;
    done.wait();
  });
}

RT_ON_PROCS(forks);

// At any moment of a collection: the child may end, or become another program. More it may not do; it is one thread,
// and the collector's are not there.
TEST_P(forks, children_leave_and_the_parent_goes_on) {
  run([] {
    tally count;
    std::atomic<bool> end{false};
    rt::wait_group done;
    done.go([&] {
      while (!end) rt::gc();
    });
    done.go([&] {
      while (!end) {
        static_cast<void>(make_chain(count, 100));
        rt::yield();
      }
    });
    const node* mine = make_chain(count, 50);
    for (int i = 0; i < rt_test::scaled(10); ++i) {
      pid_t child = fork();
      if (child == 0) {
        if (i % 2 == 0) execl("/bin/false", "false", nullptr);
        _exit(1);
      }
      ASSERT_GT(child, 0);
      int status = 0;
      rt::blocking([&] {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
      });
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    }
    end = true;
    done.wait();
    EXPECT_EQ(chain_length(mine), 50);
  });
}

}  // namespace
