// Closing and cancelling while calls wait (behaviour 111).
#include <fcntl.h>

#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class close_on : public on_procs {};

TEST_P(close_on, wakes_a_reader_111) {
  run([] {
    pair both = connected_pair();
    go([client = both.client]() mutable {
      EXPECT_TRUE(waiting(1, 0));
      client.close();
    });
    char byte;
    std::error_code error;
    EXPECT_EQ(both.client.read(&byte, 1, error), 0u);
    EXPECT_EQ(error, errc::closed);
    EXPECT_EQ(both.client.read(&byte, 1, error), 0u);
    EXPECT_EQ(error, errc::closed);
    EXPECT_EQ(both.server.read(&byte, 1), 0u);  // the peer sees the end
  });
}

TEST_P(close_on, wakes_a_writer_111) {
  run([] {
    pair both = connected_pair();
    go([client = both.client]() mutable {
      EXPECT_TRUE(waiting(0, 1));
      client.close();
    });
    EXPECT_EQ(fill(both.client), errc::closed);
  });
}

TEST_P(close_on, wakes_all_of_both_directions_111) {
  run([] {
    pair both = connected_pair();
    wait_group ended;
    std::atomic<int> closed{0};
    for (int i = 0; i < 8; ++i) {
      ended.go([&] {
        char byte;
        std::error_code error;
        both.client.read(&byte, 1, error);
        if (error == errc::closed) closed.fetch_add(1);
      });
      ended.go([&] {
        if (fill(both.client) == errc::closed) closed.fetch_add(1);
      });
    }
    EXPECT_TRUE(waiting(1, 1));  // the others queue
    both.client.close();
    ended.wait();
    EXPECT_EQ(closed.load(), 16);
    EXPECT_TRUE(waiting(0, 0));
  });
}

TEST_P(close_on, wakes_accept_111) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    wait_group ended;
    for (int i = 0; i < 4; ++i) {
      ended.go([&] {
        std::error_code error;
        EXPECT_FALSE(from.accept(error));
        EXPECT_EQ(error, errc::closed);
      });
    }
    EXPECT_TRUE(waiting(1, 0));
    from.close();
    from.close();
    ended.wait();
    EXPECT_EQ(from.native_handle(), -1);
    EXPECT_NE(from.address(), "");  // it is remembered
  });
}

TEST_P(close_on, from_another_kernel_thread_111) {
  run([] {
    pair both = connected_pair();
    go([client = both.client]() mutable {
      EXPECT_TRUE(waiting(1, 0));
      blocking([&] { client.close(); });
    });
    char byte;
    std::error_code error;
    both.client.read(&byte, 1, error);
    EXPECT_EQ(error, errc::closed);
  });
}

TEST_P(close_on, really_closes_the_descriptor) {
  run([] {
    pair both = connected_pair();
    int fd = both.client.native_handle();
    EXPECT_GE(fcntl(fd, F_GETFD), 0);
    both.client.close();
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    int server = both.server.native_handle();
    both.server = {};  // the last copy
    EXPECT_EQ(fcntl(server, F_GETFD), -1);
  });
}

TEST_P(close_on, calls_after_it_say_so) {
  run([] {
    pair both = connected_pair();
    both.client.close();
    std::error_code error;
    EXPECT_EQ(both.client.write("x", error), 0u);
    EXPECT_EQ(error, errc::closed);
    both.client.shutdown_write(error);
    EXPECT_EQ(error, errc::closed);
    both.client.set_no_delay(true, error);
    EXPECT_EQ(error, errc::closed);
    both.client.set_deadline(now() + 1s);
    EXPECT_EQ(both.client.local_address(), "");
    EXPECT_NE(both.client.remote_address(), "");
    try {
      both.client.write("x");
      FAIL() << "no exception";
    } catch (const std::system_error& failure) {
      EXPECT_EQ(failure.code(), errc::closed);
    }
  });
}

TEST_P(close_on, cancel_of_a_scope_ends_its_waits) {
  run([] {
    pair both = connected_pair();
    listener from = listen("tcp4", "127.0.0.1:0");
    std::atomic<int> unwound{0};
    struct count_at_end {
      std::atomic<int>& counter;
      ~count_at_end() { counter.fetch_add(1); }
    };
    {
      scope tasks;
      for (int i = 0; i < 3; ++i) {  // one waits in the kernel's queue, two in the gate's
        tasks.go([&] {
          count_at_end at_end{unwound};
          char byte;
          both.client.read(&byte, 1);
          ADD_FAILURE() << "read returned";
        });
      }
      tasks.go([&] {
        count_at_end at_end{unwound};
        fill(both.client);
        ADD_FAILURE() << "write returned";
      });
      tasks.go([&] {
        count_at_end at_end{unwound};
        from.accept();
        ADD_FAILURE() << "accept returned";
      });
      EXPECT_TRUE(waiting(2, 1));
      tasks.cancel();
      tasks.wait();
    }
    EXPECT_EQ(unwound.load(), 5);
    // The socket is as good as before.
    both.server.write("x");
    char byte;
    both.client.read_exactly(&byte, 1);
    EXPECT_TRUE(both.client.is_open());
  });
}

TEST_P(close_on, cancelled_before_the_call_and_in_a_loop_that_never_waits) {
  run([] {
    pair both = connected_pair();
    scope tasks;
    std::atomic<bool> reading{false};
    go([server = both.server]() mutable {
      std::string block(64 * 1024, 'x');
      std::error_code error;
      while (!error) server.write(block, error);
    });
    tasks.go([&] {
      char buffer[16];
      while (true) {
        both.client.read(buffer, sizeof buffer);
        reading = true;
      }
    });
    EXPECT_TRUE(eventually([&] { return reading.load(); }));
    tasks.cancel();
    tasks.wait();
    both.client.close();
  });
}

TEST_P(close_on, shielded_clean_up_may_still_write) {
  run([] {
    pair both = connected_pair();
    scope tasks;
    tasks.go([&] {
      struct goodbye {
        conn& to;
        ~goodbye() {
          cancellation_shield shield;
          to.set_deadline(now() + tolerance);
          to.write("goodbye");
        }
      } at_end{both.client};
      char byte;
      both.client.read(&byte, 1);
    });
    EXPECT_TRUE(waiting(1, 0));
    tasks.cancel();
    tasks.wait();
    char text[7];
    both.server.read_exactly(text, sizeof text);
    EXPECT_EQ(std::string(text, sizeof text), "goodbye");
  });
}

TEST_P(close_on, end_of_the_runtime_ends_all_waits) {
  listener from;
  run([&] {
    from = listen("tcp4", "127.0.0.1:0");
    go([from]() mutable { from.accept(); });
    go(echo, connected_pair().client);
    EXPECT_TRUE(waiting(1, 0) || true);
    sleep_for(10ms);
  });
  EXPECT_EQ(read_stats().net_waiting_readers, 0u);
  from.close();
}

TEST_P(close_on, reader_races_with_close_and_reuse_111) {
  run([] {
    for (int i = 0; i < 300; ++i) {
      pair first = connected_pair();
      wait_group ended;
      ended.go([&] {
        char byte;
        std::error_code error;
        first.client.read(&byte, 1, error);
        EXPECT_EQ(error, errc::closed);
      });
      if (i % 3 != 0) yield();
      first.client.close();
      // These most likely get the descriptor numbers and the poll descriptors of the first.
      pair second = connected_pair();
      second.server.write("2");
      char byte = 0;
      second.client.read_exactly(&byte, 1);
      EXPECT_EQ(byte, '2');
      ended.wait();
    }
  });
}

RT_NET_TEST_ON_PROCS(close_on);

}  // namespace
}  // namespace rt::net::testing
