// What the server answers: methods, routes, keep-alive, pipelining, late answers, compression, stopping.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "daemon/http/health.h"
#include "tests/daemon/http/server_fixture.h"

namespace rtd::http::test {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

std::string gunzip(const std::string& data) {
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  std::string plain(10'000'000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_out = static_cast<uInt>(plain.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  plain.resize(stream.total_out);
  inflateEnd(&stream);
  return plain;
}

}  // namespace

TEST_F(server_test, answers_get_with_headers) {
  begin();
  client one(port_);
  const std::string answer = one.ask(get("/hello?name=a%20b+c"));
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_EQ(body_of(answer), "hello a b c\n");
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nDate: "));
}

TEST_F(server_test, keeps_the_connection_and_counts_it_once) {
  begin();
  client one(port_);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(body_of(one.ask(get("/hello"))), "hello world\n");
  EXPECT_EQ(counts().accepted_total, 1u);
  EXPECT_EQ(counts().open, 1u);
  EXPECT_EQ(seen().size(), 50u);
}

TEST_F(server_test, closes_when_asked_to) {
  begin();
  client one(port_);
  one.send(get("/hello", "Connection: close\r\n"));
  EXPECT_THAT(one.read_all(), testing::EndsWith("hello world\n"));
  client old(port_);
  old.send("GET /hello HTTP/1.0\r\n\r\n");
  const std::string answer = old.read_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.0 200"));
  EXPECT_THAT(answer, testing::EndsWith("hello world\n"));
  client kept(port_);
  const std::string first = kept.ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(first, HasSubstr("Connection: keep-alive"));
  EXPECT_EQ(status_of(kept.ask(get("/hello"))), 200);
}

TEST_F(server_test, head_has_the_headers_of_get_and_no_body) {
  begin();
  client one(port_);
  one.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n" + get("/hello"));
  const std::string answer = one.read_response(true);
  EXPECT_THAT(answer, HasSubstr("Content-Length: 12\r\n"));
  EXPECT_EQ(body_of(answer), "");
  EXPECT_EQ(body_of(one.read_response()), "hello world\n");
}

TEST_F(server_test, unknown_paths_and_methods) {
  begin();
  client one(port_);
  EXPECT_EQ(status_of(one.ask(get("/nothing"))), 404);
  EXPECT_EQ(status_of(one.ask(get("/hello/"))), 404);
  const std::string answer = one.ask("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(status_of(answer), 405);
  EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_THAT(one.ask(get("/echo")), HasSubstr("Allow: POST, PUT\r\n"));
  EXPECT_EQ(status_of(one.ask("BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n")), 405);
  EXPECT_EQ(counts().accepted_total, 1u) << "none of these is a reason to close";
}

TEST_F(server_test, folders_match_the_longest_prefix) {
  begin();
  on_loop([this] {
    for (const std::string path : {"/debug/", "/debug/pprof/", "/"}) {
      server_->route(path, [path](const request& asked, responder reply) {
        reply.answer(text_response(200, path + " for " + asked.path));
      });
    }
  });
  client one(port_);
  EXPECT_EQ(body_of(one.ask(get("/debug/pprof/heap?debug=1"))), "/debug/pprof/ for /debug/pprof/heap\n");
  EXPECT_EQ(body_of(one.ask(get("/debug/pprof/"))), "/debug/pprof/ for /debug/pprof/\n");
  EXPECT_EQ(body_of(one.ask(get("/debug/pprof"))), "/debug/ for /debug/pprof\n");
  EXPECT_EQ(body_of(one.ask(get("/"))), "/ for /\n");
  EXPECT_EQ(status_of(one.ask(get("/else"))), 404) << "\"/\" is the index, not everything";
  EXPECT_EQ(body_of(one.ask(get("http://other.example/debug/x"))), "/debug/ for /debug/x\n");
}

TEST_F(server_test, bodies_by_length_and_in_chunks) {
  begin();
  client one(port_);
  EXPECT_EQ(body_of(one.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde")), "POST abcde\n");
  EXPECT_EQ(body_of(one.ask("PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")),
            "PUT abcde\n");
}

TEST_F(server_test, expect_continue) {
  begin();
  client one(port_);
  one.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(one.read_response(), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(body_of(one.ask("ok")), "POST ok\n");
  EXPECT_EQ(status_of(one.ask(get("/hello", "Expect: a-miracle\r\n"))), 417);
}

TEST_F(server_test, pipelined_requests_are_answered_in_order) {
  begin();
  client one(port_);
  std::string all;
  for (int i = 0; i < 200; ++i) all += get("/hello?name=" + std::to_string(i));
  one.send(all + "\r\n" + get("/hello?name=last"));
  for (int i = 0; i < 200; ++i) ASSERT_EQ(body_of(one.read_response()), "hello " + std::to_string(i) + "\n");
  EXPECT_EQ(body_of(one.read_response()), "hello last\n") << "an empty line between requests is allowed";
}

TEST_F(server_test, a_pipelined_request_waits_for_a_late_answer) {
  begin();
  client one(port_);
  one.send(get("/late") + get("/hello"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  EXPECT_TRUE(on_loop([this] { return held_[0].wanted(); }));
  on_loop([this] { held_[0].answer(text_response(200, "late")); });
  EXPECT_EQ(body_of(one.read_response()), "late\n");
  EXPECT_EQ(body_of(one.read_response()), "hello world\n");
  EXPECT_FALSE(on_loop([this] { return held_[0].wanted(); }));
  on_loop([this] { held_[0].answer(text_response(200, "twice")); });
  EXPECT_EQ(body_of(one.ask(get("/hello?name=after"))), "hello after\n");
}

TEST_F(server_test, late_answers_may_come_in_any_order) {
  begin();
  std::vector<client> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(port_);
    clients.back().send(get("/late"));
    ASSERT_TRUE(eventually([&] { return held_.size() == static_cast<std::size_t>(i) + 1; }));
  }
  on_loop([this] {
    for (std::size_t i = held_.size(); i-- > 0;) held_[i].answer(text_response(200, std::to_string(i)));
  });
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(body_of(clients[static_cast<std::size_t>(i)].read_response()), std::to_string(i) + "\n");
}

TEST_F(server_test, an_answer_to_a_client_that_is_gone_harms_nobody) {
  begin();
  {
    client one(port_);
    one.send(get("/late"));
    ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  }
  on_loop([this] { held_[0].answer(text_response(200, std::string(1'000'000, 'x'))); });
  EXPECT_TRUE(eventually([this] { return server_->counts().open == 0; }));
  EXPECT_EQ(status_of(client(port_).ask(get("/hello"))), 200);
}

TEST_F(server_test, handlers_that_fail_are_answered_for) {
  begin();
  client one(port_);
  EXPECT_EQ(status_of(one.ask(get("/throws"))), 500);
  EXPECT_THAT(on_loop([this] { return problems_; }), ElementsAre(HasSubstr("on purpose")));
  EXPECT_EQ(status_of(one.ask(get("/lost"))), 500);
  EXPECT_EQ(status_of(one.ask(get("/hello"))), 200);
  one.send(get("/late"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  on_loop([this] { held_.clear(); });
  EXPECT_EQ(status_of(one.read_response()), 500);
}

TEST_F(server_test, a_header_that_would_split_the_answer_is_left_out) {
  begin();
  on_loop([this] {
    server_->route("/split", [](const request&, responder reply) {
      response answer = text_response(200, "ok");
      answer.headers = {{"X-Good", "yes"}, {"X-Bad", "a\r\nSet-Cookie: b"}, {"X: Y", "c"}};
      reply.answer(std::move(answer));
    });
  });
  const std::string answer = client(port_).ask(get("/split"));
  EXPECT_THAT(answer, HasSubstr("X-Good: yes"));
  EXPECT_THAT(answer, Not(HasSubstr("Set-Cookie")));
  EXPECT_THAT(answer, Not(HasSubstr("X: Y")));
  EXPECT_EQ(on_loop([this] { return problems_.size(); }), 2u);
}

TEST_F(server_test, large_bodies_are_compressed_for_who_asks) {
  begin();
  client one(port_);
  const std::string plain = one.ask(get("/big?size=200000"));
  EXPECT_GE(body_of(plain).size(), 200'000u);
  EXPECT_THAT(plain, HasSubstr("Vary: Accept-Encoding"));
  EXPECT_THAT(plain, Not(HasSubstr("Content-Encoding")));
  const std::string packed = one.ask(get("/big?size=200000", "Accept-Encoding: deflate, gzip;q=0.8\r\n"));
  EXPECT_THAT(packed, HasSubstr("Content-Encoding: gzip"));
  EXPECT_LT(packed.size(), plain.size() / 2);
  EXPECT_EQ(gunzip(body_of(packed)), body_of(plain));
  EXPECT_THAT(one.ask(get("/big", "Accept-Encoding: gzip;q=0\r\n")), Not(HasSubstr("Content-Encoding")));
  EXPECT_THAT(one.ask(get("/hello", "Accept-Encoding: gzip\r\n")), Not(HasSubstr("Content-Encoding")));
}

TEST_F(server_test, every_answer_is_observed) {
  begin();
  client one(port_);
  one.ask(get("/hello"));
  one.ask(get("/missing"));
  one.ask("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  one.ask("nonsense\r\n\r\n");
  ASSERT_TRUE(eventually([this] { return observed_.size() == 4; }));
  std::vector<std::string> list;
  for (const observed& one_of : seen()) {
    list.push_back(one_of.handler + " " + one_of.method + " " + std::to_string(one_of.code));
    EXPECT_GE(one_of.seconds, 0);
    EXPECT_LT(one_of.seconds, 10);
  }
  EXPECT_THAT(list, ElementsAre("/hello GET 200", "other GET 404", "/hello POST 405", "other  400"));
}

TEST_F(server_test, health_pages) {
  begin();
  std::vector<health_check> checks = {{"config", true, ""}, {"sandbox-default", true, "pid 7"}};
  on_loop([&] { route_health(*server_, "/readyz", [&checks] { return checks; }); });
  client one(port_);
  EXPECT_EQ(body_of(one.ask(get("/readyz"))), "ok\n");
  EXPECT_EQ(body_of(one.ask(get("/readyz?verbose"))), "[+] config: ok\n[+] sandbox-default: ok, pid 7\nreadyz: ok\n");
  on_loop([&] { checks[1] = {"sandbox-default", false, "backing off"}; });
  const std::string answer = one.ask(get("/readyz?verbose=1"));
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_EQ(body_of(answer),
            "[+] config: ok\n[-] sandbox-default: failed, backing off\nreadyz: failed: sandbox-default\n");
  EXPECT_EQ(body_of(one.ask(get("/readyz"))), "failed: sandbox-default\n");
}

TEST_F(server_test, stops_gracefully) {
  begin();
  client idle(port_);
  idle.ask(get("/hello"));
  client busy(port_);
  busy.send(get("/late"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  std::promise<void> stopped;
  on_loop([&] { server_->stop(10s, [&] { stopped.set_value(); }); });
  auto done = stopped.get_future();
  EXPECT_TRUE(idle.closes_within(30s));
  EXPECT_FALSE(client(port_).connected());
  EXPECT_EQ(done.wait_for(100ms), std::future_status::timeout);
  on_loop([this] { held_[0].answer(text_response(200, "finished")); });
  const std::string answer = busy.read_all();
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, testing::EndsWith("finished\n"));
  EXPECT_EQ(done.wait_for(30s), std::future_status::ready);
}

TEST_F(server_test, stops_after_the_grace) {
  begin();
  client busy(port_);
  busy.send(get("/late"));
  ASSERT_TRUE(eventually([this] { return held_.size() == 1; }));
  std::promise<void> stopped;
  on_loop([&] { server_->stop(50ms, [&] { stopped.set_value(); }); });
  EXPECT_EQ(stopped.get_future().wait_for(30s), std::future_status::ready);
  EXPECT_TRUE(busy.closes_within(30s));
  EXPECT_FALSE(on_loop([this] { return held_[0].wanted(); }));
}

TEST_F(server_test, the_loop_runs_dry_after_a_stop) {
  begin();
  client(port_).ask(get("/hello"));
  on_loop([this] { server_->stop(0ms); });
  work_.reset();
  thread_.join();  // run() returns: the server keeps nothing waiting
  server_.reset();
}

}  // namespace rtd::http::test
