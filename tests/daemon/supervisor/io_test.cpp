#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/supervisor/io/byte_stream.h"
#include "daemon/supervisor/io/loop.h"
#include "daemon/supervisor/io/signals.h"
#include "daemon/supervisor/io/timer.h"

namespace rtd::supervisor {
namespace {

using namespace std::chrono_literals;

// Runs the loop until `done` says so, at most 10 s.
void run_until(loop& on, const bool& done) {
  timer limit(on);
  limit.start(10s, [&] {
    ADD_FAILURE() << "nothing happened for 10 s";
    on.stop();
  });
  timer look(on);
  std::function<void()> again = [&] {
    if (done) return on.stop();
    look.start(1ms, again);
  };
  again();
  on.run();
}

std::pair<sandbox::descriptor, sandbox::descriptor> make_pair() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  return {sandbox::descriptor(ends[0]), sandbox::descriptor(ends[1])};
}

TEST(timers, run_once_in_order_and_not_when_cancelled) {
  loop on;
  std::string order;
  bool done = false;
  timer a(on), b(on), c(on), d(on);
  a.start(20ms, [&] { order += "a"; });
  b.start(5ms, [&] { order += "b"; });
  c.start(10ms, [&] { order += "c"; });
  c.cancel();
  EXPECT_FALSE(c.running());
  b.start(30ms, [&] { order += "B"; });
  {
    timer gone(on);
    gone.start(1ms, [&] { order += "x"; });
  }
  d.start(60ms, [&] { done = true; });
  run_until(on, done);
  EXPECT_EQ(order, "aB");
}

TEST(timers, may_destroy_themselves) {
  loop on;
  bool done = false;
  auto self = std::make_unique<timer>(on);
  self->start(1ms, [&] {
    self.reset();
    done = true;
  });
  run_until(on, done);
}

TEST(byte_streams, carry_much_both_ways_with_pressure) {
  loop on;
  auto [left, right] = make_pair();
  std::string received;
  bool done = false;
  const std::string sent(5'000'000, 'm');
  byte_stream reader(on, std::move(right),
                     {[&](std::string_view bytes) { received += bytes; }, [&] { done = true; }, {}});
  byte_stream writer(on, std::move(left), {});
  for (int i = 0; i < 10; ++i) writer.write(sent.substr(0, 500'000));
  EXPECT_EQ(writer.queued(), sent.size());
  writer.close_when_drained();
  run_until(on, done);
  EXPECT_EQ(received, sent);
  EXPECT_FALSE(reader.is_open());
}

TEST(byte_streams, pause_and_go_on) {
  loop on;
  auto [left, right] = make_pair();
  std::size_t received = 0;
  bool done = false;
  byte_stream reader(on, std::move(right),
                     {[&](std::string_view bytes) {
                        received += bytes.size();
                        done = received == 8;
                      },
                      {},
                      {}});
  reader.pause_reading();
  ASSERT_EQ(::write(left.get(), "12345678", 8), 8);
  timer later(on);
  later.start(20ms, [&] {
    EXPECT_EQ(received, 0u);
    reader.resume_reading();
  });
  run_until(on, done);
}

TEST(byte_streams, may_be_destroyed_by_their_own_callbacks) {
  loop on;
  bool done = false;
  auto [left, right] = make_pair();
  std::unique_ptr<byte_stream> stream;
  stream = std::make_unique<byte_stream>(on, std::move(right),
                                         byte_stream::callbacks{[&](std::string_view) {
                                                                  stream.reset();
                                                                  done = true;
                                                                },
                                                                [&] { ADD_FAILURE() << "closed after the end"; },
                                                                {}});
  ASSERT_EQ(::write(left.get(), "x", 1), 1);
  run_until(on, done);

  loop second;
  auto [a, b] = make_pair();
  bool closed = false;
  stream = std::make_unique<byte_stream>(second, std::move(b),
                                         byte_stream::callbacks{{},
                                                                [&] {
                                                                  stream.reset();
                                                                  closed = true;
                                                                },
                                                                {}});
  a.reset();
  run_until(second, closed);
}

TEST(byte_streams, the_rest_is_read_at_once) {
  loop on;
  auto [left, right] = make_pair();
  std::string received;
  byte_stream reader(on, std::move(right), {[&](std::string_view bytes) { received += bytes; }, {}, {}});
  ASSERT_EQ(::write(left.get(), "last words", 10), 10);
  reader.read_rest(1 << 20);
  EXPECT_EQ(received, "last words");
}

TEST(byte_streams, a_broken_pipe_is_an_end_and_no_signal) {
  ::signal(SIGPIPE, SIG_IGN);
  loop on;
  auto [left, right] = make_pair();
  bool done = false;
  right.reset();
  byte_stream writer(on, std::move(left), {{}, [&] { done = true; }, {}});
  writer.write("to nobody");
  run_until(on, done);
}

TEST(signals, come_through_the_loop) {
  loop on;
  bool done = false;
  int seen = 0;
  signals watch(on, {SIGUSR1, SIGUSR2}, [&](int number) {
    seen = number;
    done = true;
  });
  timer later(on);
  later.start(1ms, [] { ::raise(SIGUSR2); });
  run_until(on, done);
  EXPECT_EQ(seen, SIGUSR2);
}

}  // namespace
}  // namespace rtd::supervisor
