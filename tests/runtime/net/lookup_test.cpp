// Name look-up: deadline, cancellation, late answers, the bound of helper threads.
#include "runtime/net/lookup_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

using detail::failure;
using detail::lookup_pool;
inline constexpr std::int64_t no_deadline = INT64_MAX;
using detail::socket_address;

// Stands before the system's resolver: counts, and holds questions back while the door is closed.
struct door {
  std::mutex lock;
  std::condition_variable changed;
  bool open = true;
  int asked = 0;
  int inside = 0;
  int most_inside = 0;

  void set_open(bool value) {
    std::lock_guard guard(lock);
    open = value;
    changed.notify_all();
  }
  int count(int door::*which) {
    std::lock_guard guard(lock);
    return this->*which;
  }
};
door the_door;

int ask_through_door(const char* host, const char* service, const addrinfo* hints, addrinfo** answer) {
  {
    std::unique_lock guard(the_door.lock);
    ++the_door.asked;
    the_door.most_inside = std::max(the_door.most_inside, ++the_door.inside);
    the_door.changed.wait(guard, [] { return the_door.open; });
    --the_door.inside;
  }
  if (std::string_view(host) == "try-again.test") return EAI_AGAIN;
  if (std::string_view(host) == "system.test") {
    errno = EMFILE;
    return EAI_SYSTEM;
  }
  if (std::string_view(host) == "nothing.test") return EAI_NONAME;
  addrinfo wanted = *hints;
  wanted.ai_flags = AI_NUMERICHOST;
  return getaddrinfo(std::string_view(host).ends_with(".test") ? "127.0.0.9" : host, service, &wanted, answer);
}

class lookup_on : public on_procs {
 protected:
  void SetUp() override {
    the_door.open = true;
    the_door.asked = the_door.inside = the_door.most_inside = 0;
  }
};

std::int64_t in(duration length) { return (now() + length).time_since_epoch().count(); }

TEST_P(lookup_on, answers) {
  lookup_pool pool(8, 10'000'000'000, &ask_through_door);
  run([&] {
    std::vector<socket_address> found;
    failure why = pool.look_up("one.test", AF_INET, no_deadline, found);
    EXPECT_FALSE(why) << why.detail;
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].text(), "127.0.0.9:0");
    EXPECT_EQ(pool.helpers(), 1);
  });
}

TEST_P(lookup_on, errors_are_told_apart) {
  lookup_pool pool(8, 10'000'000'000, &ask_through_door);
  run([&] {
    std::vector<socket_address> found;
    failure why = pool.look_up("nothing.test", AF_UNSPEC, no_deadline, found);
    EXPECT_EQ(why.code, errc::not_found);
    EXPECT_EQ(why.detail, "host \"nothing.test\"");
    why = pool.look_up("try-again.test", AF_UNSPEC, no_deadline, found);
    EXPECT_EQ(why.code, errc::lookup_failed);
    EXPECT_EQ(why.detail, "host \"try-again.test\": Temporary failure in name resolution");
    EXPECT_EQ(why.code, std::errc::resource_unavailable_try_again);
    why = pool.look_up("system.test", AF_UNSPEC, no_deadline, found);
    EXPECT_EQ(why.code, std::errc::too_many_files_open);
    EXPECT_TRUE(found.empty());
  });
}

TEST_P(lookup_on, deadline_and_late_answer) {
  lookup_pool pool(8, 10'000'000'000, &ask_through_door);
  run([&] {
    the_door.set_open(false);
    time_point start = now();
    std::vector<socket_address> found;
    failure why = pool.look_up("one.test", AF_INET, in(30ms), found);
    EXPECT_EQ(why.code, errc::timed_out);
    EXPECT_GE(now() - start, 30ms);
    EXPECT_LT(now() - start, tolerance);
    why = pool.look_up("one.test", AF_INET, in(-1s), found);
    EXPECT_EQ(why.code, errc::timed_out);
    the_door.set_open(true);  // the answer comes, to nobody
    EXPECT_FALSE(pool.look_up("two.test", AF_INET, no_deadline, found));
  });
}

TEST_P(lookup_on, cancellation) {
  lookup_pool pool(8, 10'000'000'000, &ask_through_door);
  run([&] {
    the_door.set_open(false);
    scope tasks;
    tasks.go([&] {
      std::vector<socket_address> found;
      pool.look_up("one.test", AF_INET, no_deadline, found);
      ADD_FAILURE() << "look_up returned";
    });
    EXPECT_TRUE(eventually([] { return the_door.count(&door::inside) == 1; }));
    tasks.cancel();
    tasks.wait();
    the_door.set_open(true);
  });
}

TEST_P(lookup_on, helpers_are_bounded_and_serve_all) {
  lookup_pool pool(3, 10'000'000'000, &ask_through_door);
  run([&] {
    the_door.set_open(false);
    wait_group done;
    std::atomic<int> right{0};
    for (int i = 0; i < 50; ++i) {
      done.go([&, i] {
        std::vector<socket_address> found;
        if (!pool.look_up("h" + std::to_string(i) + ".test", AF_INET, no_deadline, found)) right.fetch_add(1);
      });
    }
    EXPECT_TRUE(eventually([] { return the_door.count(&door::inside) == 3; }));
    sleep_for(10ms);
    EXPECT_EQ(pool.helpers(), 3);
    the_door.set_open(true);
    done.wait();
    EXPECT_EQ(right.load(), 50);
    EXPECT_EQ(the_door.count(&door::most_inside), 3);
  });
}

TEST_P(lookup_on, questions_that_nobody_waits_for_are_not_asked) {
  lookup_pool pool(1, 10'000'000'000, &ask_through_door);
  run([&] {
    the_door.set_open(false);
    wait_group first;  // keeps the only helper, so that the others give up in the queue
    first.go([&] {
      std::vector<socket_address> found;
      EXPECT_FALSE(pool.look_up("first.test", AF_INET, no_deadline, found));
    });
    EXPECT_TRUE(eventually([] { return the_door.count(&door::inside) == 1; }));
    std::vector<socket_address> found;
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(pool.look_up("late.test", AF_INET, in(2ms), found).code, errc::timed_out);
    }
    the_door.set_open(true);
    EXPECT_FALSE(pool.look_up("last.test", AF_INET, no_deadline, found));
    first.wait();
    EXPECT_EQ(the_door.count(&door::asked), 2);
  });
}

TEST_P(lookup_on, idle_helpers_end_and_come_back) {
  lookup_pool pool(4, 20'000'000, &ask_through_door);
  run([&] {
    std::vector<socket_address> found;
    for (int round = 0; round < 3; ++round) {
      EXPECT_FALSE(pool.look_up("one.test", AF_INET, no_deadline, found));
      EXPECT_TRUE(eventually([&] { return pool.helpers() == 0; }));
    }
    // Questions that come just when the helper gives up are answered all the same.
    for (int i = 0; i < 50; ++i) {
      EXPECT_FALSE(pool.look_up("one.test", AF_INET, no_deadline, found));
      sleep_for(19ms + i * 50us);
    }
  });
}

TEST_P(lookup_on, green_threads_go_on_meanwhile) {
  lookup_pool pool(1, 10'000'000'000, &ask_through_door);
  run([&] {
    the_door.set_open(false);
    wait_group done;
    done.go([&] {
      std::vector<socket_address> found;
      EXPECT_FALSE(pool.look_up("one.test", AF_INET, no_deadline, found));
    });
    EXPECT_TRUE(eventually([] { return the_door.count(&door::inside) == 1; }));
    // The helper may be inside before the one that asked has parked.
    EXPECT_TRUE(eventually([] {
      return std::ranges::any_of(all_green_threads(),
                                 [](const green_thread_info& each) { return each.state == "name lookup"; });
    }));
    the_door.set_open(true);
    done.wait();
  });
}

TEST_P(lookup_on, localhost_and_a_name_that_does_not_exist) {
  run([] {
    std::vector<socket_address> found;
    failure why = detail::shared_lookup_pool().look_up("localhost", AF_INET, no_deadline, found);
    EXPECT_FALSE(why) << why.detail;
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0].text(), "127.0.0.1:0");
    std::error_code error;
    EXPECT_FALSE(dial_until("tcp", "no-such-host.invalid:80", now() + 10s, error));
    // Without a reachable name server nobody can tell that it does not exist.
    EXPECT_TRUE(error == errc::not_found || error == errc::lookup_failed || error == errc::timed_out)
        << error.message();
  });
}

RT_NET_TEST_ON_PROCS(lookup_on);

TEST(lookup, outside_of_green_threads_it_asks_on_the_spot) {
  lookup_pool pool(8, 10'000'000'000, &ask_through_door);
  std::vector<socket_address> found;
  EXPECT_FALSE(pool.look_up("one.test", AF_INET, no_deadline, found));
  EXPECT_EQ(found.size(), 1u);
  EXPECT_EQ(pool.helpers(), 0);
  listener from = listen("tcp4", "localhost:0");
  EXPECT_TRUE(from.address().starts_with("127.0.0.1:"));
}

}  // namespace
}  // namespace rt::net::testing
