// A torture of the collected heap: green threads that build, change, hide, hand over and drop shared structures, tasks
// that start, run into their limit and are killed, computation without calls, blocking, destructors, arenas and roots,
// while collections run one after the other and the number of Ps and the settings of the collector change.
//
// Each object says by its contents what it is, so that one that was lost, or handed out twice, is noticed by whoever
// comes to it. At the end nothing may be damaged, and what was dropped must be gone.
//
//   RT_DEBUG=gccheckmark=1 RT_SOAK_SECONDS=1800 RT_SOAK_SEED=42 build/release/tests/runtime/soak/heap_soak_test
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "rt/rt.h"
#include "runtime/sched/scheduler.h"
#include "runtime/task/task_state.h"
#include "tests/runtime/in_runtime.h"

namespace {

using namespace std::chrono_literals;
using rt_test::scaled;

std::uint64_t number_from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? fallback : std::strtoull(text, nullptr, 10);
}

constexpr std::uint64_t salt = 0x9e3779b97f4a7c15;

// Bytes without references, filled with what its owner's number tells.
struct payload {
  std::uint64_t number;
  std::uint64_t words[7];
  bool is_intact(std::uint64_t owner) const {
    return number == owner &&
           std::all_of(std::begin(words), std::end(words), [&](auto word) { return word == ~owner; });
  }
};

}  // namespace

template <>
inline constexpr bool rt::noscan<payload> = true;

namespace {

struct node {
  explicit node(std::uint64_t key) : number(key), check(key * salt) {}
  bool is_intact() const { return check == number * salt && (data == nullptr || data->is_intact(number)); }

  std::uint64_t number;
  std::uint64_t check;
  rt::ref<node> left;
  rt::ref<node> right;
  rt::ref<payload> data;
};

std::atomic<long> destroyed{0};

// Has a destructor, which must be called once, and not while anybody can reach it.
struct mortal {
  explicit mortal(std::uint64_t key) : number(key), check(key * salt) {}
  ~mortal() {
    if (check != number * salt) std::abort();  // destroyed twice, or overwritten
    check = 0;
    destroyed.fetch_add(1, std::memory_order_relaxed);
  }
  mortal(const mortal&) = delete;
  mortal& operator=(const mortal&) = delete;

  std::uint64_t number;
  std::uint64_t check;
};

// A tree whose shape changes and whose nodes stay.
struct garden {
  rt::mutex lock;
  rt::ref<node> top;
  std::size_t size = 0;
};

struct world {
  static constexpr std::size_t gardens = 8;
  static constexpr std::size_t shelf_size = 256;

  std::atomic<bool> stop{false};
  garden trees[gardens];
  rt::mutex shelf_lock;
  rt::ref<rt::ref<node>> shelf;  // an array in which everybody puts, takes and overwrites
  rt::chan<rt::ref<node>> pipe{32};
  rt::chan<rt::ref<node>> direct;
  std::atomic<std::uint64_t> next_number{1};
  std::atomic<long> damaged{0};
  std::atomic<long> seen{0};
  std::atomic<long> mortals{0};
  std::atomic<long> tasks_ended{0};
  std::atomic<long> tasks_out_of_memory{0};
  std::shared_ptr<rt::detail::log_queue> log = std::make_shared<rt::detail::log_queue>(1000);
};

// Of the tasks, which are functions without captures.
world* the_world = nullptr;

node* make_node(world& all) {
  std::uint64_t number = all.next_number.fetch_add(1, std::memory_order_relaxed);
  node* fresh = rt::make<node>(number);
  if (number % 4 == 0) {
    payload* data = rt::make<payload>();
    data->number = number;
    for (std::uint64_t& word : data->words) word = ~number;
    fresh->data = data;
  }
  return fresh;
}

void look_at(world& all, const node* one) {
  if (one == nullptr) return;
  all.seen.fetch_add(1, std::memory_order_relaxed);
  if (!one->is_intact()) all.damaged.fetch_add(1);
}

std::size_t count_tree(world& all, const node* top) {
  if (top == nullptr) return 0;
  look_at(all, top);
  return 1 + count_tree(all, top->left) + count_tree(all, top->right);
}

node* build_tree(world& all, int depth) {
  node* top = make_node(all);
  if (depth > 0) {
    top->left = build_tree(all, depth - 1);
    top->right = build_tree(all, depth - 1);
  }
  return top;
}

std::atomic<long> coroutines_alive{0};

struct counted_coroutine {
  counted_coroutine() { ++coroutines_alive; }
  counted_coroutine(const counted_coroutine&) = delete;
  counted_coroutine& operator=(const counted_coroutine&) = delete;
  ~counted_coroutine() { --coroutines_alive; }
};

// Of the shelf, whose lock the caller has.
rt::ref<node>& place_of(world& all, std::uint64_t random) { return all.shelf.get()[random % world::shelf_size]; }

// Hands on what it was given, which is in frames alone meanwhile, and a node of its own before it.
rt::coroutine<node*> put_before(world& all, node* given, std::uint64_t seed) {
  counted_coroutine counted;
  std::mt19937_64 random(seed);
  if (random() % 2 == 0) co_await rt::async_sleep_for(std::chrono::microseconds(random() % 500));
  node* fresh = make_node(all);
  if (random() % 3 == 0) co_await rt::async_yield();
  look_at(all, given);
  fresh->left = given;
  co_return fresh;
}

// What was on the shelf is in its frame alone for a while, in all the ways in which a coroutine can wait.
rt::coroutine<> hide_in_frames(world& all, std::uint64_t seed) {
  counted_coroutine counted;
  std::mt19937_64 random(seed);
  node* held = nullptr;
  for (int round = 0; round < 4; ++round) {
    {
      std::lock_guard guard(all.shelf_lock);
      rt::ref<node>& here = place_of(all, random());
      held = here;
      here = nullptr;
    }
    switch (random() % 6) {
      case 0:
        co_await rt::async_sleep_for(std::chrono::microseconds(random() % 2000));
        break;
      case 1:
        rt::sleep_for(std::chrono::microseconds(random() % 1000));  // on its carrier's stack
        break;
      case 2:
        held = co_await put_before(all, std::exchange(held, nullptr), random());
        break;
      case 3:
        if (std::optional<rt::ref<node>> got = co_await rt::async_recv_for(all.pipe, 300us)) held = got->get();
        break;
      case 4:
        if (held != nullptr) all.pipe.try_send(rt::ref<node>(held));
        break;
      default:
        co_await rt::async_yield();
        break;
    }
    look_at(all, held);
    if (held != nullptr) look_at(all, held->left);
    std::lock_guard guard(all.shelf_lock);
    place_of(all, random()) = std::exchange(held, nullptr);
  }
}

class actor {
 public:
  actor(world& all, std::uint64_t seed) : world_(all), random_(seed) {}

  void run() {
    while (!world_.stop) step();
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  void step() {
    switch (below(17)) {
      case 0:
      case 1:
        return own_tree();
      case 2:
      case 3:
        return turn_a_garden();
      case 4:
        return replant();
      case 5:
      case 6:
        return shelf();
      case 7:
        return hide();
      case 8:
        return hand_over();
      case 9:
        return mortals();
      case 10:
        return large_array();
      case 11:
        return rooted();
      case 12:
        return arena();
      case 13:
        return wander();
      case 14:
        return cut_short();
      case 15:
        return in_frames();
      default:
        return settings();
    }
  }

  static void compute(std::uint64_t microseconds) {
    for (std::uint64_t i = 0; i < microseconds * 500; ++i) asm volatile("" ::: "memory");
  }

  // Reached from this stack alone, over preemptions and parks.
  void own_tree() {
    int depth = static_cast<int>(below(8));
    node* top = build_tree(world_, depth);
    if (below(2) == 0) compute(below(2000));
    if (below(4) == 0) rt::sleep_for(std::chrono::microseconds(below(500)));
    if (count_tree(world_, top) != (std::size_t{2} << depth) - 1) world_.damaged.fetch_add(1);
  }

  // Rotations: what hangs below moves from one node to another, over this stack.
  void turn_a_garden() {
    garden& one = world_.trees[below(world::gardens)];
    std::lock_guard guard(one.lock);
    node* parent = nullptr;
    node* now = one.top;
    for (std::uint64_t steps = below(10); steps > 0 && now->left != nullptr && now->right != nullptr; --steps) {
      parent = now;
      now = below(2) == 0 ? now->left : now->right;
    }
    if (node* child = now->left; child != nullptr) {
      now->left = child->right;
      if (below(4) == 0) rt::yield();  // the half that was cut off is on this stack alone
      child->right = now;
      rt::ref<node>& place = parent == nullptr ? one.top : parent->left == now ? parent->left : parent->right;
      place = child;
    } else if (node* other = now->right; other != nullptr) {
      now->right = other->left;
      if (below(4) == 0) compute(below(200));
      other->left = now;
      rt::ref<node>& place = parent == nullptr ? one.top : parent->left == now ? parent->left : parent->right;
      place = other;
    }
    if (below(16) == 0 && count_tree(world_, one.top) != one.size) world_.damaged.fetch_add(1);
  }

  // A new garden in the place of one.
  void replant() {
    if (below(8) != 0) return;
    int depth = 6 + static_cast<int>(below(4));
    node* fresh = build_tree(world_, depth);
    garden& one = world_.trees[below(world::gardens)];
    std::lock_guard guard(one.lock);
    if (count_tree(world_, one.top) != one.size) world_.damaged.fetch_add(1);
    one.top = fresh;
    one.size = (std::size_t{2} << depth) - 1;
  }

  rt::ref<node>& place() { return world_.shelf.get()[below(world::shelf_size)]; }

  void shelf() {
    std::lock_guard guard(world_.shelf_lock);
    switch (below(5)) {
      case 0: {
        node* fresh = make_node(world_);
        rt::ref<node>& here = place();
        if (below(4) != 0) fresh->left = here;  // chains grow behind it, until somebody cuts them
        here = fresh;
        return;
      }
      case 1:
        place() = nullptr;
        return;
      case 2:
        swap(place(), place());
        return;
      case 3:
        if (node* one = place(); one != nullptr) one->right = place();
        return;
      default:
        walk(place());
        return;
    }
  }

  void walk(const node* one) {
    for (std::uint64_t steps = below(30); one != nullptr && steps > 0; --steps) {
      look_at(world_, one);
      one = below(4) == 0 ? one->right : one->left;
    }
  }

  // What was on the shelf is on this stack alone for a while, in all the ways in which a stack can wait.
  void hide() {
    node* held = nullptr;
    {
      std::lock_guard guard(world_.shelf_lock);
      rt::ref<node>& here = place();
      held = here;
      here = nullptr;
    }
    switch (below(4)) {
      case 0:
        rt::sleep_for(std::chrono::microseconds(below(2000)));
        break;
      case 1:
        compute(below(5000));
        break;
      case 2:
        rt::blocking([&] { compute(below(500)); });
        break;
      default:
        rt::yield();
        break;
    }
    walk(held);
    std::lock_guard guard(world_.shelf_lock);
    place() = held;
  }

  // Not more at a time than a green thread would be: they may outlive this one.
  void in_frames() {
    if (coroutines_alive > 200) return;
    for (std::uint64_t i = below(4); i > 0; --i) rt::go(hide_in_frames(world_, random_()));
  }

  void hand_over() {
    node* mine = make_node(world_);
    node* got = nullptr;
    rt::select(rt::on_send(world_.direct, rt::ref<node>(mine), [] {}),
               rt::on_recv(world_.direct, [&](std::optional<rt::ref<node>> one) { got = one ? one->get() : nullptr; }),
               rt::after(500us, [] {}));
    look_at(world_, mine);
    walk(got);
    mine->left = got;
    if (below(2) == 0) {
      world_.pipe.try_send(rt::ref<node>(mine));
    } else if (std::optional<rt::ref<node>> one = world_.pipe.try_recv()) {
      walk(*one);
    }
  }

  void mortals() {
    constexpr std::size_t count = 16;
    mortal* held[count];
    for (mortal*& one : held) {
      one = rt::make<mortal>(world_.next_number.fetch_add(1));
      world_.mortals.fetch_add(1, std::memory_order_relaxed);
    }
    if (below(4) == 0) rt::sleep_for(100us);
    for (mortal* one : held) {
      if (one->check != one->number * salt) world_.damaged.fetch_add(1);
    }
  }

  void large_array() {
    std::size_t count = 1 + below(20'000);
    auto* all = rt::make_array<rt::ref<node>>(count);
    std::size_t filled = below(64);
    for (std::size_t i = 0; i < filled; ++i) all[i * 7919 % count] = make_node(world_);
    if (below(2) == 0) rt::yield();
    for (std::size_t i = 0; i < filled; ++i) walk(all[i * 7919 % count]);
  }

  // In memory of malloc.
  void rooted() {
    std::vector<rt::root<node>> held;
    for (std::uint64_t i = 0, count = below(20); i < count; ++i) held.emplace_back(build_tree(world_, 2));
    rt::sleep_for(std::chrono::microseconds(below(1000)));
    for (const rt::root<node>& one : held) {
      if (count_tree(world_, one) != 7) world_.damaged.fetch_add(1);
    }
  }

  // Objects in an arena keep those of the heap alive.
  void arena() {
    rt::arena region;
    node* first = nullptr;
    for (std::uint64_t i = 0, count = 1 + below(100); i < count; ++i) {
      node* fresh = region.make<node>(world_.next_number.fetch_add(1));
      fresh->left = first;
      fresh->right = make_node(world_);
      first = fresh;
    }
    if (below(2) == 0) rt::yield();
    for (const node* one = first; one != nullptr; one = one->left) {
      look_at(world_, one);
      look_at(world_, one->right);
    }
  }

  // Deep stacks, each frame with a reference of its own.
  void wander() { static_cast<void>(descend(static_cast<int>(below(60)))); }
  [[gnu::noinline]] std::uint64_t descend(int depth) {
    node* mine = make_node(world_);
    if (depth == 0) {
      rt::sleep_for(std::chrono::microseconds(below(300)));
    } else {
      static_cast<void>(descend(depth - 1));
    }
    look_at(world_, mine);
    return mine->number;
  }

  // Unwound in the middle of it.
  void cut_short() {
    rt::scope scope;
    for (std::uint64_t i = 0, count = below(5); i < count; ++i) {
      scope.go([this, seed = random_(), kept = rt::ref<node>(make_node(world_))] {
        actor child(world_, seed);
        for (int round = 0; round < 5; ++round) child.own_tree();
        look_at(world_, kept);
        rt::sleep_for(std::chrono::microseconds(child.below(2000)));
        look_at(world_, kept);
      });
    }
    if (below(2) == 0) scope.cancel();
    scope.wait();
  }

  void settings() {
    switch (below(40)) {
      case 0:
        rt::max_procs(1 + static_cast<int>(below(6)));
        return;
      case 1:
        rt::set_gc_percent(20 + static_cast<int>(below(300)));
        return;
      case 2:
        rt::set_memory_limit(below(2) == 0 ? rt::no_memory_limit : (64 + below(200)) << 20);
        return;
      case 3:
        rt::gc();
        return;
      case 4:
        rt::release_memory();
        return;
      case 5:
        static_cast<void>(rt::read_mem_stats());
        return;
      default:
        return;
    }
  }

  world& world_;
  std::mt19937_64 random_;
};

// The body of a task: allocates until it is out of memory, is stopped, or has done enough.
void play(rt::task& self) {
  world& all = *the_world;
  std::uint64_t number = all.next_number.fetch_add(1);
  if (number % 2 == 0) rt::detail::current_green_thread()->member_of.load()->heap.set_limits(2 << 20, 4 << 20);
  self.log(rt::log_level::debug, "tortures");
  for (std::uint64_t i = number % 4; i > 0; --i) rt::go(hide_in_frames(all, number + i));
  auto until = rt::now() + 50ms;
  std::vector<rt::root<node>> hoard;
  try {
    while (rt::now() < until && !all.stop) {
      hoard.emplace_back(build_tree(all, 8));
      for (const rt::root<node>& tree : hoard) look_at(all, tree);
      rt::checkpoint();
    }
  } catch (const rt::out_of_task_memory&) {
    all.tasks_out_of_memory.fetch_add(1);
    for (const rt::root<node>& tree : hoard) {
      if (count_tree(all, tree) != 511) all.damaged.fetch_add(1);
    }
  }
}

// Starts tasks with limits, one after the other, and kills some.
void run_tasks(world& all, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!all.stop) {
    rt::detail::task_spec spec;
    spec.id = "torture";
    spec.plugin = "test";
    spec.entry = "play";
    spec.function = play;
    rt::detail::task_state one(std::move(spec), all.log,
                               [](rt::detail::task_state&, rt::detail::task_phase, const std::string&) {});
    one.start();
    rt::sleep_for(std::chrono::milliseconds(random() % 60));
    one.stop();
    while (!is_final(one.phase()) || one.green_threads() != 0) rt::sleep_for(1ms);
    all.tasks_ended.fetch_add(1);
    std::vector<rt::detail::log_line> lines;
    all.log->take(lines);
  }
}

TEST(heap_soak, nothing_is_lost_and_nothing_is_kept) {
  std::uint64_t seconds = number_from_environment("RT_SOAK_SECONDS", 3);
  std::uint64_t seed = number_from_environment("RT_SOAK_SEED", std::random_device{}());
  std::printf("RT_SOAK_SECONDS=%lu RT_SOAK_SEED=%lu\n", static_cast<unsigned long>(seconds),
              static_cast<unsigned long>(seed));
  std::fflush(stdout);
  rt::run_options options;
  options.max_procs = 3;
  rt::run(
      [&] {
        rt::gc();
        std::uint64_t objects_before = rt::read_mem_stats().heap_objects;
        {
          world all;
          the_world = &all;
          all.shelf = rt::make_array<rt::ref<node>>(world::shelf_size);
          rt::root<rt::ref<node>> shelf(all.shelf.get());
          for (garden& one : all.trees) {
            one.top = build_tree(all, 7);
            one.size = 255;
          }
          rt::wait_group group;
          for (std::uint64_t i = 0; i < 30; ++i) {
            group.go([&all, own = seed * 1000 + i] { actor(all, own).run(); });
          }
          group.go([&] { run_tasks(all, seed); });
          auto until = rt::now() + std::chrono::seconds(seconds);
          while (rt::now() < until && all.damaged == 0) {
            rt::sleep_for(5ms);
            if (seed % 2 == 0) rt::gc();
          }
          all.stop = true;
          group.wait();
          EXPECT_TRUE(rt_test::eventually([] { return coroutines_alive == 0; }));
          for (garden& one : all.trees) {
            EXPECT_EQ(count_tree(all, one.top), one.size);
            one.top = nullptr;
          }
          EXPECT_EQ(all.damaged, 0);
          EXPECT_GT(all.seen, 0);
          EXPECT_GT(all.tasks_ended, 0);
          std::printf("nodes %lu, looks %ld, with a destructor %ld, tasks %ld, out of memory %ld\n",
                      static_cast<unsigned long>(all.next_number.load()), all.seen.load(), all.mortals.load(),
                      all.tasks_ended.load(), all.tasks_out_of_memory.load());
          the_world = nullptr;
        }
        rt::set_memory_limit(rt::no_memory_limit);
        rt::set_gc_percent(100);
        // What is left on stacks by chance is a few objects, not a few in a hundred.
        EXPECT_TRUE(rt_test::eventually([&] {
          rt::gc();
          return rt::read_mem_stats().heap_objects < objects_before + 2000;
        })) << rt::read_mem_stats().heap_objects
            << " objects are left";
        rt::mem_stats stats = rt::read_mem_stats();
        std::printf("collections %u, forced %u, CPU %.3f, longest of the last pauses %.3f ms, objects left %lu\n",
                    static_cast<unsigned>(stats.num_gc), static_cast<unsigned>(stats.num_forced_gc),
                    stats.gc_cpu_fraction,
                    static_cast<double>(*std::max_element(std::begin(stats.pause_ns), std::end(stats.pause_ns))) * 1e-6,
                    static_cast<unsigned long>(stats.heap_objects));
        return 0;
      },
      options);
}

}  // namespace
