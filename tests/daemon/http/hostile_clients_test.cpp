// Clients that send garbage, too much, too little or too slowly, and too many of them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <ctime>
#include <random>

#include "tests/daemon/http/server_fixture.h"

namespace rtd::http::test {

using ::testing::HasSubstr;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitizer_needs_descriptors = true;
#elif defined(__has_feature)
constexpr bool sanitizer_needs_descriptors = __has_feature(address_sanitizer);
#else
constexpr bool sanitizer_needs_descriptors = false;
#endif

// A client whose socket exists before every other descriptor is taken, so that it can connect when none can be had.
class scarce_descriptors {
 public:
  scarce_descriptors() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(socket_) + 1;
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (int filler = ::dup(socket_); filler >= 0; filler = ::dup(socket_)) fillers_.push_back(filler);
  }
  scarce_descriptors(const scarce_descriptors&) = delete;
  scarce_descriptors& operator=(const scarce_descriptors&) = delete;
  ~scarce_descriptors() {
    end();
    ::close(socket_);
  }

  /// Lets descriptors be had again.
  void end() {
    for (const int filler : fillers_) ::close(filler);
    fillers_.clear();
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }

  bool connect(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }

  void send(const std::string& text) {
    EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  bool is_answered_within(std::chrono::milliseconds patience) {
    pollfd waited{socket_, POLLIN, 0};
    char answer[64] = "";
    return ::poll(&waited, 1, static_cast<int>(patience.count())) == 1 &&
           ::recv(socket_, answer, sizeof(answer) - 1, 0) > 0 && std::string_view(answer).starts_with("HTTP/1.1 200");
  }

 private:
  int socket_;
  rlimit before_{};
  std::vector<int> fillers_;
};

}  // namespace

TEST_F(server_test, garbage_is_answered_with_400_and_closed) {
  begin();
  for (const std::string text :
       {"\x16\x03\x01\x02\x01garbage\r\n\r\n", "GET\r\n\r\n", "GET /hello\r\n\r\n",
        " GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", "GET hello HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    client one(port_);
    one.send(text);
    const std::string answer = one.read_all();
    EXPECT_EQ(status_of(answer), 400) << text << " -> " << answer;
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
  }
  EXPECT_EQ(status_of(client(port_).ask(get("/hello"))), 200);
}

TEST_F(server_test, http_1_1_needs_exactly_one_host) {
  begin();
  client none(port_);
  EXPECT_THAT(none.ask("GET /hello HTTP/1.1\r\n\r\n"), HasSubstr("the Host header is missing"));
  client two(port_);
  EXPECT_EQ(status_of(two.ask("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")), 400);
  client old(port_);
  EXPECT_EQ(status_of(old.ask("GET /hello HTTP/1.0\r\n\r\n")), 200);
}

TEST_F(server_test, other_versions_are_told) {
  begin();
  client two(port_);
  EXPECT_EQ(status_of(two.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 505);
}

TEST_F(server_test, random_bytes_never_harm) {
  begin();
  std::mt19937 random(12345);
  for (int round = 0; round < 300; ++round) {
    std::string text = round % 3 == 0 ? "GET /hello HTTP/1.1\r\nHost: x\r\n" : "";
    const std::size_t size = random() % 300;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>(random());
    if (round % 2 == 0) text += "\r\n\r\n";
    client one(port_);
    one.send(text);
    ::shutdown(one.descriptor(), SHUT_WR);
    const std::string answer = one.read_all();
    EXPECT_THAT(answer, testing::Not(HasSubstr("(timeout)")));
  }
  EXPECT_EQ(status_of(client(port_).ask(get("/hello"))), 200);
  EXPECT_TRUE(eventually([this] { return server_->counts().open <= 1; }));
}

TEST_F(server_test, heads_are_limited) {
  begin();
  const auto head = [](std::size_t size) { return get("/hello", "X-Long: " + std::string(size, 'x') + "\r\n"); };
  EXPECT_EQ(status_of(client(port_).ask(head(15'000))), 200);
  client big(port_);
  big.send(head(20'000));
  EXPECT_EQ(status_of(big.read_all()), 431);
  client endless(port_);  // sends until the server has had enough
  const std::string chunk(64 * 1024, 'y');
  endless.send("GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: ");
  std::size_t sent = 0;
  while (sent < 100'000'000 && endless.send(chunk)) sent += chunk.size();
  EXPECT_LT(sent, 100'000'000u) << "the server must stop reading and close";
}

TEST_F(server_test, bodies_are_limited) {
  begin();
  client declared(port_);
  EXPECT_EQ(status_of(declared.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")), 413);
  client chunked(port_);
  chunked.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
  for (int i = 0; i < 5; ++i) chunked.send(chunk);
  EXPECT_EQ(status_of(chunked.read_all()), 413);
  client fits(port_);
  EXPECT_EQ(
      body_of(fits.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n" + std::string(65536, 'z'))),
      "POST " + std::string(65536, 'z') + "\n");
}

TEST_F(server_test, partial_requests_in_single_bytes_are_fine) {
  begin();
  client one(port_);
  for (const char c : get("/hello?name=slow")) one.send(std::string(1, c));
  EXPECT_EQ(body_of(one.read_response()), "hello slow\n");
}

TEST_F(server_test, clients_that_vanish_in_the_middle) {
  begin();
  const std::string request = get("/hello");
  for (std::size_t size = 0; size < request.size(); size += 5) client(port_).send(request.substr(0, size));
  { client(port_).send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"); }
  EXPECT_TRUE(eventually([this] { return server_->counts().open == 0; }));
  EXPECT_EQ(status_of(client(port_).ask(request)), 200);
}

TEST_F(server_test, a_head_that_trickles_in_meets_its_deadline) {
  limits bounds;
  bounds.header_timeout = 300ms;
  begin(bounds);
  client slow(port_);
  const auto begun = std::chrono::steady_clock::now();
  bool open = slow.send("GET /hello HTTP/1.1\r\n");
  while (open && std::chrono::steady_clock::now() - begun < 30s) {
    std::this_thread::sleep_for(50ms);
    open = slow.send("X-A: b\r\n") && !slow.closes_within(1ms);
  }
  EXPECT_FALSE(open);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 20s);
  // The stream closes the socket at the deadline; the connection hears of it, and counts, a moment later.
  EXPECT_TRUE(eventually([this] { return server_->counts().open == 0; }));
  EXPECT_EQ(counts().timed_out_total, 1u);
  EXPECT_EQ(seen().at(0).code, 408);
}

TEST_F(server_test, silent_idle_and_half_sent_bodies_meet_deadlines) {
  limits bounds;
  bounds.header_timeout = 200ms;
  bounds.idle_timeout = 200ms;
  bounds.body_timeout = 200ms;
  begin(bounds);
  client silent(port_);
  client idle(port_);
  EXPECT_EQ(status_of(idle.ask(get("/hello"))), 200);
  client half(port_);
  half.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_TRUE(silent.closes_within(30s));
  EXPECT_TRUE(idle.closes_within(30s));
  EXPECT_TRUE(half.closes_within(30s));
  EXPECT_TRUE(eventually([this] { return server_->counts().open == 0; }));
  EXPECT_EQ(counts().timed_out_total, 1u) << "silence is no failure, a half-sent request is";
}

TEST_F(server_test, a_handler_that_forgets_its_client_meets_a_deadline) {
  limits bounds;
  bounds.handler_timeout = 100ms;
  begin(bounds);
  client one(port_);
  EXPECT_EQ(status_of(one.ask(get("/late"))), 504);
  EXPECT_EQ(status_of(one.ask(get("/hello"))), 200);
  on_loop([this] { held_.at(0).answer(text_response(200, "too late")); });
  EXPECT_EQ(body_of(one.ask(get("/hello?name=x"))), "hello x\n");
}

TEST_F(server_test, a_client_that_does_not_read_meets_a_deadline) {
  limits bounds;
  bounds.write_timeout = 300ms;
  begin(bounds);
  client deaf(port_, 4096);
  deaf.send(get("/big?size=16000000"));
  EXPECT_TRUE(eventually([this] { return server_->counts().timed_out_total == 1 && server_->counts().open == 0; }));
  EXPECT_EQ(status_of(client(port_).ask(get("/hello"))), 200);
}

TEST_F(server_test, a_pipeline_whose_answers_are_not_read_stops_being_read) {
  limits bounds;
  bounds.write_timeout = 300ms;
  begin(bounds);
  client deaf(port_, 4096);
  ::fcntl(deaf.descriptor(), F_SETFL, O_NONBLOCK);
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += get("/big?size=1000000");
  deaf.send(requests);
  EXPECT_TRUE(eventually([this] { return server_->counts().open == 0; }));
  EXPECT_LT(seen().size(), 100u);
}

TEST_F(server_test, a_thousand_connections) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
  ::setrlimit(RLIMIT_NOFILE, &files);
  ASSERT_GE(files.rlim_cur, 2500u) << "the test needs 2 500 descriptors; raise `ulimit -n`";
  limits bounds;
  bounds.max_connections = 2000;
  begin(bounds);
  std::vector<client> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(port_);
    ASSERT_TRUE(clients.back().connected()) << i;
  }
  for (int round = 0; round < 2; ++round) {
    for (client& one : clients) ASSERT_TRUE(one.send(get("/hello")));
    for (client& one : clients) ASSERT_EQ(body_of(one.read_response()), "hello world\n");
  }
  EXPECT_EQ(counts().open, 1000u);
  EXPECT_EQ(counts().accepted_total, 1000u);
  clients.clear();
  EXPECT_TRUE(eventually([this] { return server_->counts().open == 0; }));
}

TEST_F(server_test, at_the_limit_the_longest_idle_makes_room) {
  limits bounds;
  bounds.max_connections = 3;
  begin(bounds);
  client oldest(port_);
  oldest.ask(get("/hello"));
  client busy(port_);
  busy.send(get("/late"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  client newer(port_);
  newer.ask(get("/hello"));
  client extra(port_);
  EXPECT_EQ(status_of(extra.ask(get("/hello"))), 200);
  EXPECT_TRUE(oldest.closes_within(30s));
  EXPECT_EQ(status_of(newer.ask(get("/hello"))), 200);
  EXPECT_EQ(counts().evicted_total, 1u);
  on_loop([this] { held_[0].answer(text_response(200, "still here")); });
  EXPECT_EQ(body_of(busy.read_response()), "still here\n");
}

TEST_F(server_test, when_all_are_busy_the_new_one_is_told) {
  limits bounds;
  bounds.max_connections = 2;
  begin(bounds);
  client first(port_);
  client second(port_);
  first.send(get("/late"));
  second.send(get("/late"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 2; }));
  client third(port_);
  const std::string answer = third.read_all();
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_EQ(body_of(answer), "too many connections\n");
  EXPECT_EQ(counts().rejected_total, 1u);
}

TEST_F(server_test, at_the_limit_clients_that_dawdle_make_room) {
  limits bounds;
  bounds.max_connections = 4;
  begin(bounds);
  std::vector<client> slow;
  for (int i = 0; i < 4; ++i) {
    slow.emplace_back(port_);
    slow.back().send("GET /hello HTTP/1.1\r\n");
  }
  // A second after the server has read the first bytes of one; until then the new ones are turned away.
  int status = 0;
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (status != 200 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(1200ms);
    status = status_of(client(port_).ask(get("/hello")));
  }
  EXPECT_EQ(status, 200);
  EXPECT_EQ(counts().evicted_total, 1u);
}

TEST_F(server_test, without_descriptors_an_idle_connection_makes_room) {
  if (sanitizer_needs_descriptors) GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors for its own checks";
  begin();
  client idle(port_);
  idle.ask(get("/hello"));
  scarce_descriptors scarce;
  ASSERT_TRUE(scarce.connect(port_));
  scarce.send(get("/hello"));
  EXPECT_TRUE(scarce.is_answered_within(30s)) << "an idle connection should have been closed to take this one";
  EXPECT_EQ(counts().evicted_total, 1u);
  EXPECT_THAT(on_loop([this] { return problems_; }), testing::ElementsAre(HasSubstr("raise LimitNOFILE")));
}

TEST_F(server_test, without_descriptors_nobody_spins) {
  if (sanitizer_needs_descriptors) GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors for its own checks";
  begin();
  client busy(port_);
  busy.send(get("/late"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  scarce_descriptors scarce;
  ASSERT_TRUE(scarce.connect(port_));
  scarce.send(get("/hello"));
  const auto cpu_seconds = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const double before = cpu_seconds();
  EXPECT_FALSE(scarce.is_answered_within(1s));
  EXPECT_LT(cpu_seconds() - before, 0.3) << "the loop should sleep between its tries";
  EXPECT_EQ(on_loop([this] { return problems_.size(); }), 1u) << "it is told once a minute";
  scarce.end();
  EXPECT_TRUE(scarce.is_answered_within(30s));
}

}  // namespace rtd::http::test
