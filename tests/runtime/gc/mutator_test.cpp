// Green threads that change a shared graph in all ways while it is collected again and again. Each node says what it is
// by its contents, so a node that was lost, or handed out twice, is noticed by whoever comes to it.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/gc/objects.h"

namespace {

using rt_test::scaled;

struct vertex {
  static constexpr std::uint64_t salt = 0x9e3779b97f4a7c15;
  explicit vertex(std::uint64_t key) : number(key), check(key * salt) {}
  bool is_intact() const { return check == number * salt; }

  std::uint64_t number;
  std::uint64_t check;
  rt::ref<vertex> edges[3];
};

class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) : state_(seed * vertex::salt | 1) {}
  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 16) % bound;
  }

 private:
  std::uint64_t state_;
};

struct shared_graph {
  static constexpr std::size_t entries = 64;
  rt::mutex lock;  // of the edges and entries: a reference alone orders nothing
  rt::ref<vertex>* entry = rt::make_array<rt::ref<vertex>>(entries);
  rt::chan<rt::ref<vertex>> exchange{8};
  std::atomic<std::uint64_t> damaged{0};
  std::atomic<std::uint64_t> seen{0};

  void look_at(const vertex* one) {
    if (one == nullptr) return;
    seen.fetch_add(1, std::memory_order_relaxed);
    if (!one->is_intact()) damaged.fetch_add(1);
  }
};

// A walk from a random entry; what it comes to is only on this stack meanwhile, and may be cut off by others.
vertex* walk(shared_graph& graph, random_numbers& random) {
  vertex* now = graph.entry[random.below(shared_graph::entries)];
  for (std::uint64_t steps = random.below(8); now != nullptr && steps > 0; --steps) {
    graph.look_at(now);
    vertex* next = now->edges[random.below(3)];
    if (next == nullptr) break;
    now = next;
  }
  graph.look_at(now);
  return now;
}

void mutate(shared_graph& graph, std::uint64_t seed, int steps) {
  random_numbers random(seed);
  vertex* held = nullptr;  // for long, across parks
  for (int i = 0; i < steps; ++i) {
    std::unique_lock<rt::mutex> guard(graph.lock);
    switch (random.below(8)) {
      case 0: {  // a new one in front of what an entry has
        auto* fresh = rt::make<vertex>(seed << 32 | static_cast<std::uint64_t>(i));
        rt::ref<vertex>& entry = graph.entry[random.below(shared_graph::entries)];
        fresh->edges[random.below(3)] = entry;
        entry = fresh;
        break;
      }
      case 1:  // cut
        graph.entry[random.below(shared_graph::entries)] = nullptr;
        break;
      case 2:  // hide: what was in the heap is then on this stack alone
        if (vertex* one = walk(graph, random); one != nullptr) {
          rt::ref<vertex>& edge = one->edges[random.below(3)];
          held = edge;
          edge = nullptr;
          guard.unlock();
          rt::yield();
          graph.look_at(held);
        }
        break;
      case 3:  // and back, elsewhere
        if (held != nullptr) graph.entry[random.below(shared_graph::entries)] = held;
        break;
      case 4:  // a link across
        if (vertex* one = walk(graph, random); one != nullptr) one->edges[random.below(3)] = walk(graph, random);
        break;
      case 5:  // through a channel, if there is room
        if (vertex* one = walk(graph, random); one != nullptr) graph.exchange.try_send(rt::ref<vertex>(one));
        break;
      case 6:
        if (auto got = graph.exchange.try_recv()) {
          graph.look_at(*got);
          held = *got;
        }
        break;
      default:  // swap two
        swap(graph.entry[random.below(shared_graph::entries)], graph.entry[random.below(shared_graph::entries)]);
        break;
    }
    if (guard.owns_lock()) guard.unlock();
    graph.look_at(held);
    if (random.below(64) == 0) rt::sleep_for(std::chrono::microseconds(50));
    if (random.below(2000) == 0) held = nullptr;
  }
}

std::uint64_t seed_of_this_run() {
  const char* text = std::getenv("RT_TEST_SEED");
  std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device()();
  std::printf("RT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

void change_and_collect(std::uint64_t seed, int steps) {
  shared_graph graph;
  rt::ref<vertex>* entries = graph.entry;
  std::atomic<int> running{6};
  rt::wait_group all;
  for (std::uint64_t i = 0; i < 6; ++i) {
    all.add();
    rt::go([&, i] {
      mutate(graph, seed + i, steps);
      running.fetch_sub(1);
      all.done();
    });
  }
  while (running.load() > 0) rt::gc();
  all.wait();
  EXPECT_EQ(graph.damaged, 0U);
  EXPECT_GT(graph.seen, 0U);
  rt::keep_alive(entries);
}

RT_ON_PROCS(mutator);

TEST_P(mutator, a_shared_graph_stays_intact) {
  std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("seed " + std::to_string(seed));
  run([&] { change_and_collect(seed, scaled(20'000)); });
}

// Takes one kernel thread after the other, the collector's own among them, off its CPU for a moment, wherever it is: in
// front of an exchange of a state, in the midst of publishing a span, between the test of a barrier and its store.
class delays {
 public:
  explicit delays(std::uint64_t seed) {
    struct sigaction action {};
    action.sa_handler = [](int) {
      int error = errno;
      timespec moment{0, 50'000};  // some times as long as what another one needs to do something
      nanosleep(&moment, nullptr);
      errno = error;
    };
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGURG);  // preemption comes after it
    // It stays: a signal may still be on its way when the test is over.
    sigaction(SIGPROF, &action, nullptr);
    thread_ = std::thread([this, seed] { disturb(random_numbers(seed)); });
    while (!begun_) std::this_thread::yield();  // a busy machine may let the test end before
  }
  ~delays() {
    ended_ = true;
    thread_.join();
  }
  delays(const delays&) = delete;
  delays& operator=(const delays&) = delete;

 private:
  void disturb(random_numbers random) {
    const auto self = static_cast<int>(syscall(SYS_gettid));
    while (!ended_) {
      std::vector<int> threads;
      for (const auto& one : std::filesystem::directory_iterator("/proc/self/task")) {
        threads.push_back(std::atoi(one.path().filename().c_str()));
      }
      for (int i = 0; i < 20 && !ended_; ++i) {
        int one = threads[random.below(threads.size())];
        if (one != self && syscall(SYS_tgkill, getpid(), one, SIGPROF) == 0) begun_ = true;
        std::this_thread::sleep_for(std::chrono::microseconds(20 + random.below(100)));
      }
    }
  }

  std::atomic<bool> ended_{false};
  std::atomic<bool> begun_{false};
  std::thread thread_;
};

TEST_P(mutator, a_shared_graph_stays_intact_while_threads_are_held_up_anywhere) {
  std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("seed " + std::to_string(seed));
  run([&] {
    delays everywhere(seed);
    change_and_collect(seed, scaled(3000));
  });
}

}  // namespace
