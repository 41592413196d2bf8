// Tasks that want more than a limit of theirs gives.
#include <fcntl.h>
#include <rt/rt.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;

// Starts green threads until that throws.
static void green_thread_bomb(rt::task&) {
  for (;;) rt::go([] { rt::sleep_for(1h); });
}

// Goes on with those that it got.
static void greedy(rt::task& self) {
  int count = 0;
  try {
    for (;; ++count) rt::go([] { rt::sleep_for(1h); });
  } catch (const rt::out_of_green_threads& error) {
    self.info("got " + std::to_string(count) + " of " + std::to_string(error.limit()));
  }
  for (;;) {
    try {
      rt::go([] { rt::sleep_for(1h); });
      self.set_status("got one more");
    } catch (const rt::out_of_green_threads&) {
      rt::sleep_for(10ms);
    }
  }
}

// Logs `count` lines at once; then one that is short, now and then.
static void log_flood(rt::task& self) {
  const std::int64_t count = self.param_int("count", 10'000);
  for (std::int64_t i = 0; i < count; ++i) self.info("flood " + std::to_string(i));
  self.set_status("flooded");
  for (;;) rt::sleep_for(1h);
}

// Keeps what it accepts until the client closes it.
static void idle(rt::task&) { rt::sleep_for(std::chrono::hours(24)); }

static void serve(rt::task& self) {
  rt::net::listener from = rt::net::listen("tcp4", "127.0.0.1:0");
  self.set_status(from.address());
  for (;;) {
    rt::go([one = from.accept()]() mutable {
      one.write("welcome\n");
      char ignored[16];
      std::error_code error;
      while (one.read(ignored, sizeof ignored, error) > 0) {
      }
      one.close();
    });
  }
}

// Dials until that fails, and says by what.
static void dial(rt::task& self) {
  rt::net::listener from = rt::net::listen("tcp4", "127.0.0.1:0");
  std::vector<rt::net::conn> all;
  try {
    for (;;) all.push_back(rt::net::dial("tcp4", from.address()));
  } catch (const std::system_error& error) {
    self.info("after " + std::to_string(all.size()) + ": " + error.what());
  }
}

// Computes in `count` green threads, without a call of the runtime.
static void compute(rt::task& self) {
  const std::int64_t count = self.param_int("count", 1);
  auto turn = [] {
    for (std::atomic<unsigned> turns{0};; ++turns) {
    }
  };
  for (std::int64_t i = 1; i < count; ++i) rt::go(turn);
  self.set_status("computing");
  turn();
}

// Keeps memory of malloc's, until there is none.
static void memory_bomb(rt::task&) {
  std::vector<std::vector<char>> all;
  for (;;) {
    all.emplace_back(1 << 20, 'x');
    rt::yield();
  }
}

// Writes a file, or reads it, past the cache, `bytes` of it in pieces of 64 KiB.
static void disk(rt::task& self) {
  constexpr std::size_t piece = 64 << 10;
  const std::string path = self.param("file", "");
  const bool writes = self.param("how", "") == "write";
  const std::unique_ptr<char, decltype(&std::free)> memory(static_cast<char*>(std::aligned_alloc(4096, piece)),
                                                           &std::free);
  std::memset(memory.get(), 'x', piece);
  const int file =
      ::open(path.c_str(), (writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_DIRECT | O_CLOEXEC, 0644);
  if (file < 0) throw std::system_error(errno, std::system_category(), path);
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t rest = self.param_int("bytes", 0); rest > 0; rest -= piece)
    if ((writes ? ::write(file, memory.get(), piece) : ::read(file, memory.get(), piece)) != ssize_t{piece})
      throw std::system_error(errno, std::system_category(), path);
  ::close(file);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  self.info("took " + std::to_string(took.count()) + " s");
}

RT_PLUGIN("test-bombs", "1.0.0", "Wants more than its limits give")
RT_ENTRY(green_thread_bomb, "Starts green threads without end")
RT_ENTRY(greedy, "Starts as many as it gets")
RT_ENTRY(log_flood, "Logs without end")
RT_ENTRY(idle, "Waits for its stop")
RT_ENTRY(serve, "Keeps the connections that it accepts")
RT_ENTRY(dial, "Dials without end")
RT_ENTRY(compute, "Computes without end")
RT_ENTRY(memory_bomb, "Allocates without end")
RT_ENTRY(disk, "Writes or reads a file past the cache")
