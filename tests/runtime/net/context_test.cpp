// Sockets and contexts.
#include <gtest/gtest.h>

#include <atomic>

#include "tests/runtime/net/full_unix_socket.h"
#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

class contexts_on_sockets : public on_procs {};
RT_NET_TEST_ON_PROCS(contexts_on_sockets);

template <class Call>
void expect_end(const cancellable_context& work, std::uint64_t readers, std::uint64_t writers, Call call) {
  std::atomic<bool> ended{false};
  wait_group all;
  all.go([&] {
    try {
      call();
      ADD_FAILURE() << "it returned";
    } catch (const context_error& error) {
      EXPECT_EQ(error.code(), std::errc::operation_canceled);
      ended = true;
    }
  });
  EXPECT_TRUE(waiting(readers, writers));
  work.cancel();
  all.wait();
  EXPECT_TRUE(ended.load());
  EXPECT_TRUE(waiting(0, 0));
}

TEST_P(contexts_on_sockets, end_every_kind_of_wait) {
  run([] {
    pair both = connected_pair();
    listener idle = listen("tcp4", "127.0.0.1:0");
    char byte;
    auto fresh = [] { return with_cancel(current_context()); };
    cancellable_context work = fresh();
    expect_end(work, 1, 0, [&] { both.client.read(work, &byte, 1); });
    work = fresh();
    expect_end(work, 1, 0, [&] { idle.accept(work); });
    work = fresh();
    expect_end(work, 0, 1, [&] {
      std::string block(256 * 1024, 'x');
      while (true) both.client.write(work, block);
    });
    work = fresh();
    expect_end(work, 1, 0, [&] {
      context_scope obey(work);
      std::error_code error;
      both.client.read(&byte, 1, error);
    });
    // Others queue for their turn.
    wait_group first;
    first.go([&] { EXPECT_THROW(both.client.read(&byte, 1), std::system_error); });
    EXPECT_TRUE(waiting(1, 0));
    cancellable_context second = fresh();
    wait_group all;
    all.go([&] { EXPECT_THROW(both.client.read(second, &byte, 1), context_error); });
    for (int i = 0; i < 100; ++i) yield();
    second.cancel();
    all.wait();
    both.client.close();
    first.wait();  // it names the connection, which is on this stack, in its error
    EXPECT_TRUE(waiting(0, 0));
  });
}

TEST_P(contexts_on_sockets, change_nothing_while_they_live) {
  run([] {
    cancellable_context work = with_timeout(background(), 1h);
    listener from = listen("tcp4", "127.0.0.1:0");
    chan<conn> accepted(1);
    go([&] { accepted.send(from.accept(work)); });
    conn client = dial(work, "tcp4", from.address());
    conn server = *accepted.recv();
    client.write(work, "hello");
    char text[5];
    EXPECT_EQ(server.read(work, text, sizeof text), 5u);
    EXPECT_EQ(std::string_view(text, 5), "hello");
    client.close();
    EXPECT_EQ(server.read(work, text, sizeof text), 0u);
  });
}

TEST_P(contexts_on_sockets, an_ended_one_dials_nobody) {
  run([] {
    cancellable_context work = with_timeout(background(), 0s);
    try {
      dial(work, "tcp4", "127.0.0.1:1");
      ADD_FAILURE();
    } catch (const context_error& error) {
      EXPECT_EQ(error.code(), std::errc::timed_out);
    }
  });
}

// A unix listener whose queue is full lets nobody in.
TEST_P(contexts_on_sockets, a_deadline_ends_dialling) {
  run([] {
    full_unix_socket full;
    try {
      dial(with_timeout(background(), 5ms), "unix", full.address());
      ADD_FAILURE();
    } catch (const context_error& error) {
      EXPECT_EQ(error.code(), std::errc::timed_out);
    }
  });
}

}  // namespace
}  // namespace rt::net::testing
