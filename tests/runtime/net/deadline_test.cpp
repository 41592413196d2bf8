// Deadlines: past, future, moved and taken away while a call waits (behaviour 110).
#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class deadline_on : public on_procs {};

// A deadline at this distance is changed before it passes, also where the machine is slow to let that happen.
constexpr duration far_enough = 1s;

// How long `call` took.
template <class Call>
duration time_of(Call call) {
  time_point start = now();
  call();
  return now() - start;
}

TEST_P(deadline_on, past_fails_at_once_even_with_data_110) {
  run([] {
    pair both = connected_pair();
    both.server.write("data");
    both.client.set_read_deadline(now() - 1s);
    char buffer[8];
    std::error_code error;
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(both.client.read(buffer, sizeof buffer, error), 0u);
      EXPECT_EQ(error, errc::timed_out);
      EXPECT_EQ(error, std::errc::timed_out);
    }
    both.client.set_write_deadline(time_point(duration(-1)));  // before the clock's epoch: past as well
    EXPECT_EQ(both.client.write("x", error), 0u);
    EXPECT_EQ(error, errc::timed_out);
    both.client.set_deadline({});
    EXPECT_EQ(both.client.read(buffer, sizeof buffer, error), 4u);
    EXPECT_FALSE(error);
  });
}

TEST_P(deadline_on, future_fires_in_time_110) {
  run([] {
    pair both = connected_pair();
    const time_point deadline = now() + 50ms;
    both.client.set_read_deadline(deadline);
    char byte;
    std::error_code error;
    both.client.read(&byte, 1, error);
    EXPECT_EQ(error, errc::timed_out);
    EXPECT_GE(now(), deadline);
    EXPECT_LT(now(), deadline + tolerance);
    both.client.read(&byte, 1, error);  // it stays
    EXPECT_EQ(error, errc::timed_out);
  });
}

TEST_P(deadline_on, sub_millisecond_is_kept) {
#if defined(__aarch64__)
  GTEST_SKIP() << "the emulator has no epoll_pwait2: an idle thread waits in whole milliseconds";
#else
  run([] {
    pair both = connected_pair();
    // Whenever the machine gives this program its CPU in time, which a busy one does not do at each try.
    EXPECT_TRUE(eventually([&] {
      both.client.set_read_deadline(now() + 200us);
      char byte;
      std::error_code error;
      duration took = time_of([&] { both.client.read(&byte, 1, error); });
      EXPECT_EQ(error, errc::timed_out);
      return took < 1ms;
    }));
  });
#endif
}

TEST_P(deadline_on, data_before_it_is_delivered_110) {
  run([] {
    pair both = connected_pair();
    both.client.set_read_deadline(now() + 60s);
    go([server = both.server]() mutable {
      sleep_for(20ms);
      server.write("late");
    });
    char buffer[8];
    EXPECT_EQ(both.client.read(buffer, sizeof buffer), 4u);
  });
}

TEST_P(deadline_on, brought_forward_while_waiting_110) {
  run([] {
    pair both = connected_pair();
    both.client.set_read_deadline(now() + 1h);
    go([client = both.client]() mutable {
      waiting(1, 0);
      client.set_read_deadline(now() + 10ms);
    });
    char byte;
    std::error_code error;
    EXPECT_LT(time_of([&] { both.client.read(&byte, 1, error); }), tolerance);
    EXPECT_EQ(error, errc::timed_out);
  });
}

TEST_P(deadline_on, set_to_the_past_while_waiting_without_any_110) {
  run([] {
    pair both = connected_pair();
    go([client = both.client]() mutable {
      waiting(1, 0);
      client.set_deadline(now() - 1h);
    });
    char byte;
    std::error_code error;
    EXPECT_LT(time_of([&] { both.client.read(&byte, 1, error); }), tolerance);
    EXPECT_EQ(error, errc::timed_out);
  });
}

TEST_P(deadline_on, put_off_while_waiting_110) {
  run([] {
    pair both = connected_pair();
    const time_point before = now() + far_enough;
    both.client.set_read_deadline(before);
    go([before, client = both.client, server = both.server]() mutable {
      EXPECT_TRUE(waiting(1, 0));
      client.set_read_deadline(now() + 1h);
      sleep_until(before + 50ms);
      server.write("x");
    });
    char byte;
    both.client.read_exactly(&byte, 1);
    EXPECT_GE(now(), before);
  });
}

TEST_P(deadline_on, taken_away_while_waiting_110) {
  run([] {
    pair both = connected_pair();
    const time_point before = now() + far_enough;
    both.client.set_read_deadline(before);
    go([before, client = both.client, server = both.server]() mutable {
      EXPECT_TRUE(waiting(1, 0));
      client.set_read_deadline({});
      sleep_until(before + 50ms);
      server.write("x");
    });
    char byte;
    both.client.read_exactly(&byte, 1);
    EXPECT_GE(now(), before);
  });
}

TEST_P(deadline_on, write_to_a_full_socket_110) {
  run([] {
    pair both = connected_pair();
    both.client.set_write_deadline(now() + 50ms);
    EXPECT_EQ(fill(both.client), errc::timed_out);
    // Reading has its own.
    both.server.write("x");
    char byte;
    both.client.read_exactly(&byte, 1);
  });
}

TEST_P(deadline_on, reports_what_was_written_before) {
  run([] {
    pair both = connected_pair();
    std::string block(64 * 1024 * 1024, 'x');
    both.client.set_write_deadline(now() + 50ms);
    std::error_code error;
    std::size_t written = both.client.write(block, error);
    EXPECT_EQ(error, errc::timed_out);
    EXPECT_GT(written, 0u);
    EXPECT_LT(written, block.size());
    both.client.close();
    EXPECT_EQ(read_all(both.server).size(), written);
  });
}

TEST_P(deadline_on, accept_110) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    from.set_deadline(now() + 30ms);
    std::error_code error;
    EXPECT_FALSE(from.accept(error));
    EXPECT_EQ(error, errc::timed_out);
    go([from]() mutable {
      waiting(1, 0);
      from.set_deadline(now() - 1s);
    });
    from.set_deadline({});
    EXPECT_FALSE(from.accept(error));
    EXPECT_EQ(error, errc::timed_out);
    from.set_deadline({});
    conn client = dial("tcp4", from.address());
    EXPECT_TRUE(from.accept());
  });
}

TEST_P(deadline_on, moved_by_a_storm_of_setters) {
  run([] {
    pair both = connected_pair();
    std::atomic<bool> stop{false};
    wait_group setters;
    for (int i = 0; i < 4; ++i) {
      setters.go([&, client = both.client, i]() mutable {
        while (!stop.load()) {
          client.set_read_deadline(now() + (i + 1) * 50us);
          yield();
        }
      });
    }
    setters.go([&, server = both.server]() mutable {
      for (int i = 0; i < 2000; ++i) {
        server.write("x");
        if (i % 8 == 0) sleep_for(20us);
      }
    });
    int got = 0;
    int timeouts = 0;
    while (got < 2000) {
      char buffer[64];
      std::error_code error;
      got += static_cast<int>(both.client.read(buffer, sizeof buffer, error));
      if (error) {
        ASSERT_EQ(error, errc::timed_out);
        ++timeouts;
        yield();
      }
    }
    stop = true;
    setters.wait();
    EXPECT_EQ(got, 2000);
  });
}

TEST_P(deadline_on, message_names_the_peer) {
  run([] {
    pair both = connected_pair();
    both.client.set_deadline(now() - 1s);
    try {
      char byte;
      both.client.read(&byte, 1);
      FAIL() << "no exception";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), errc::timed_out);
      EXPECT_EQ(std::string(error.what()), "read from " + both.client.remote_address() + ": the deadline passed");
    }
  });
}

RT_NET_TEST_ON_PROCS(deadline_on);

}  // namespace
}  // namespace rt::net::testing
