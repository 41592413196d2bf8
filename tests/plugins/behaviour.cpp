// Tasks that behave and misbehave in every way that the tests of the host and the supervisor need.
#include <rt/rt.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <unistd.h>

using namespace std::chrono_literals;

static void complete(rt::task& self) { self.info("done"); }

static void wait_for_stop(rt::task& self) {
  self.set_status("waiting");
  self.info("waiting until stopped");
  for (;;) rt::sleep_for(1h);
}

// Takes new work until it is asked to finish; what it has then takes it 50 ms.
static void drain_politely(rt::task& self) {
  while (!self.draining()) {
    try {
      const rt::context_scope within(self.drain_context());
      rt::sleep_for(1h);
    } catch (const rt::context_error&) {
      self.info("takes nothing new");
    }
  }
  rt::sleep_for(50ms);
  self.info("finished what it had");
}

// Goes on when it is asked to finish, and ends when its context does.
static void obey_context(rt::task& self) {
  try {
    const rt::context_scope within(self.context());
    for (;;) rt::sleep_for(1h);
  } catch (const rt::context_error&) {
    self.info(self.stopping() ? "unwound" : "its context ended");
  }
}

// Greets `count` connections, one after the other, and ends; "fail" lets it fail then.
static void serve_some(rt::task& self) {
  rt::net::listener door = rt::net::listen(self.param("network", "tcp"), self.required_param("listen"));
  for (int left = std::atoi(self.param("count", "1").c_str()); left > 0; --left) {
    rt::net::conn peer = door.accept();
    std::error_code gone;
    peer.write("hello\n", gone);
  }
  if (!self.param("fail", "").empty()) throw std::runtime_error("it was told to fail");
}

static void throw_error(rt::task&) { throw std::runtime_error("the disk is on fire"); }

static void throw_number(rt::task&) { throw 42; }

static void child_throws(rt::task&) {
  rt::go([] { throw std::logic_error("a child went wrong"); });
  for (;;) rt::sleep_for(1h);
}

// Returns while its green threads still sleep: they are cancelled, and say so.
static void leave_children(rt::task& self) {
  for (int i = 0; i < 100; ++i) {
    rt::go([&self] {
      try {
        rt::sleep_for(1h);
      } catch (const rt::cancelled&) {
        self.debug("a child was cancelled");
        throw;
      }
    });
  }
}

static void clean_up_slowly(rt::task& self) {
  try {
    rt::sleep_for(1h);
  } catch (const rt::cancelled&) {
    rt::cancellation_shield shield;
    rt::sleep_for(200ms);
    self.info("cleaned up");
  }
}

// Looks like work that never makes a runtime call.
static void spin(rt::task& self) {
  int count = std::atoi(self.param("count", "1").c_str());
  auto turn = [] {
    volatile unsigned long turns = 0;
    for (;;) {
      unsigned long next = turns + 1;
      turns = next;
    }
  };
  for (int i = 1; i < count; ++i) rt::go(turn);
  turn();
}

static void ignore_stop(rt::task& self) {
  for (;;) {
    try {
      rt::sleep_for(10ms);
    } catch (const rt::cancelled&) {
      rt::cancellation_shield shield;
      rt::sleep_for(10ms);
      self.set_status("ignoring the stop");
    }
  }
}

static void block_for_ever(rt::task&) {
  for (;;) pause();
}

// Two green threads wait for each other; a third one is in a nil channel.
static void deadlock(rt::task& self) {
  rt::chan<int> one;
  rt::chan<int> other;
  self.info("about to deadlock");
  rt::scope scope;
  scope.go({.stack_size = 0, .name = "partner"}, [one, other] {
    one.recv();
    other.send(1);
  });
  scope.go([] { rt::chan<int>(nullptr).recv(); });
  other.recv();
}

// Waits in a way that cancellation does not end: only a stopped host gets rid of it.
static void deadlock_shielded(rt::task&) {
  rt::cancellation_shield shield;
  rt::chan<int>().recv();
}

static void hold_mutex_over_park(rt::task& self) {
  std::mutex mutex;
  for (int i = 0; i < 3; ++i) {
    std::lock_guard guard(mutex);
    rt::sleep_for(1ms);
  }
  self.info("done holding");
  rt::sleep_for(1h);
}

static void export_metrics(rt::task& self) {
  auto jobs = self.counter("test_jobs_total", "Jobs done", {{"kind", "easy"}});
  jobs.add(3);
  self.gauge("test_depth", "Depth of the queue").set(-1.5);
  auto times = self.histogram("test_job_seconds", "How long jobs take", {0.1, 1, 10});
  times.observe(0.05);
  times.observe(5);
  times.observe(50);
  for (;;) rt::sleep_for(1h);
}

static void show_parameters(rt::task& self) {
  self.info("interval=" + std::to_string(self.param_duration("interval", 7s).count()));
  self.info("count=" + std::to_string(self.param_int("count", 3, 1, 10)));
  std::string list;
  for (const std::string& one : self.param_list("targets")) list += one + ";";
  self.info("targets=" + list);
}

static void log_strange_text(rt::task& self) {
  self.info("escape \x1b[31m, newline \n, bad \xff, end");
  self.error(std::string(100'000, 'x'));
}

static void log_much(rt::task& self) {
  for (int i = 0; i < 100'000; ++i) self.info("line " + std::to_string(i));
}

static void print(rt::task&) {
  std::printf("a line on stdout\n");
  std::fprintf(stderr, "a line on stderr\n");
}

// ---- ends of the process ----

namespace {

__attribute__((noinline)) void follow(volatile int* pointer) { *pointer = 1; }

volatile int deepest = 0;  // no bottom

__attribute__((noinline)) int descend(volatile char* above, int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  if (depth + 1 == deepest) return 0;
  int below = descend(frame, depth + 1);
  return below + frame[0] + above[0];
}

}  // namespace

static void null_dereference(rt::task&) {
  rt::sleep_for(1ms);
  follow(nullptr);
}

static void touch_large_address(rt::task&) {
  constexpr std::uintptr_t nothing_is_there = std::uintptr_t{0x6000} << 32;
  follow(reinterpret_cast<volatile int*>(nothing_is_there));
}

static void overflow_stack(rt::task&) {
  volatile char top[1] = {0};
  volatile int depth = descend(top, 0);
  static_cast<void>(depth);
}

static void overflow_child_stack(rt::task&) {
  rt::go({.stack_size = 1 << 20, .name = "deep"}, [] {
    volatile char top[1] = {0};
    volatile int depth = descend(top, 0);
    static_cast<void>(depth);
  });
  rt::sleep_for(1h);
}

static void call_nowhere(rt::task&) {
  void (*volatile function)() = nullptr;
  function();
}

static void divide_by_zero(rt::task&) {
#if defined(__x86_64__)
  int quotient = 1;
  int remainder = 0;
  int divisor = 0;
  asm volatile("idivl %2" : "+a"(quotient), "+d"(remainder) : "r"(divisor));
#else
  raise(SIGFPE);  // the processor gives zero instead
#endif
}

static void call_abort(rt::task&) { std::abort(); }

static void call_exit(rt::task&) { std::exit(7); }

static void crash_in_thread(rt::task&) {
  std::thread([] { follow(nullptr); }).detach();
  rt::sleep_for(1h);
}

// Both at once: one of them reports.
static void crash_everywhere(rt::task&) {
  for (int i = 0; i < 16; ++i) rt::go([] { follow(nullptr); });
  follow(nullptr);
}

RT_PLUGIN("test-behaviour", "0.1.0", "Behaves in every way that the tests need")
RT_ENTRY(complete, "Returns at once")
RT_ENTRY(wait_for_stop, "Sleeps until it is stopped")
RT_ENTRY(drain_politely, "Finishes when it is asked to")
RT_ENTRY(obey_context, "Ends with its context")
RT_ENTRY(serve_some, "Greets `count` connections and ends")
RT_ENTRY(throw_error, "Throws a std::runtime_error")
RT_ENTRY(throw_number, "Throws an int")
RT_ENTRY(child_throws, "Starts a green thread that throws")
RT_ENTRY(leave_children, "Returns while its green threads sleep")
RT_ENTRY(clean_up_slowly, "Takes 200 ms to stop")
RT_ENTRY(spin, "Computes for ever on `count` green threads, without a runtime call")
RT_ENTRY(ignore_stop, "Catches each cancellation and goes on")
RT_ENTRY(block_for_ever, "Blocks its kernel thread in a system call")
RT_ENTRY(deadlock, "Three green threads that wait for each other")
RT_ENTRY(deadlock_shielded, "Waits for ever, cancelled or not")
RT_ENTRY(hold_mutex_over_park, "Sleeps three times while it holds a std::mutex")
RT_ENTRY(export_metrics, "Exports a counter, a gauge and a histogram")
RT_ENTRY(show_parameters, "Logs its parameters")
RT_ENTRY(log_strange_text, "Logs what a terminal should not see")
RT_ENTRY(log_much, "Logs 100 000 lines")
RT_ENTRY(print, "Writes to stdout and stderr")
RT_ENTRY(null_dereference, "Writes through a null pointer")
RT_ENTRY(touch_large_address, "Writes to a large address where nothing is mapped")
RT_ENTRY(overflow_stack, "Recurses without end")
RT_ENTRY(overflow_child_stack, "Recurses without end on a green thread with a name and a stack of 1 MiB")
RT_ENTRY(call_nowhere, "Calls a null pointer")
RT_ENTRY(divide_by_zero, "Divides by zero")
RT_ENTRY(call_abort, "Calls abort()")
RT_ENTRY(call_exit, "Calls exit(7)")
RT_ENTRY(crash_in_thread, "Writes through a null pointer on a kernel thread of its own")
RT_ENTRY(crash_everywhere, "Writes through a null pointer on many green threads at once")
