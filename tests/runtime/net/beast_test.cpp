// Boost.Beast's blocking algorithms over rt::net::conn, on green threads.
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "rt/asio.h"
#include "tests/runtime/net/net_fixture.h"

namespace rt::net::testing {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

static_assert(beast::is_sync_read_stream<conn>::value);
static_assert(beast::is_sync_write_stream<conn>::value);

class beast_on : public on_procs {};

void serve(conn peer) {
  beast::flat_buffer buffer;
  while (true) {
    http::request<http::string_body> request;
    boost::system::error_code error;
    http::read(peer, buffer, request, error);
    if (error == http::error::end_of_stream) break;
    ASSERT_FALSE(error) << error.message();
    http::response<http::string_body> response(http::status::ok, request.version());
    response.keep_alive(request.keep_alive());
    response.body() = "you asked for " + std::string(request.target()) + " with " + request.body();
    response.prepare_payload();
    http::write(peer, response);
  }
  peer.close();
}

TEST_P(beast_on, requests_and_responses) {
  run([] {
    listener from = listen("tcp4", "127.0.0.1:0");
    go([from]() mutable {
      std::error_code error;
      while (conn peer = from.accept(error)) go(serve, peer);
    });
    wait_group clients;
    for (int i = 0; i < 10; ++i) {
      clients.go([&, i] {
        conn client = dial("tcp4", from.address());
        beast::flat_buffer buffer;
        for (int n = 0; n < 10; ++n) {
          http::request<http::string_body> request(http::verb::post, "/" + std::to_string(n), 11);
          request.set(http::field::host, "localhost");
          request.body() = std::string(static_cast<std::size_t>(i) * 10'000, 'b');
          request.prepare_payload();
          http::write(client, request);
          http::response<http::string_body> response;
          http::read(client, buffer, response);
          ASSERT_EQ(response.result(), http::status::ok);
          ASSERT_EQ(response.body(), "you asked for /" + std::to_string(n) + " with " + request.body());
        }
        client.close();
      });
    }
    clients.wait();
    from.close();
  });
}

TEST_P(beast_on, a_body_that_ends_with_the_stream) {
  run([] {
    pair both = connected_pair();
    go([server = both.server]() mutable {
      server.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
      server.close();
    });
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    http::read(both.client, buffer, response);
    EXPECT_EQ(response.body(), "until the end");
  });
}

TEST_P(beast_on, errors_are_those_that_asio_knows) {
  run([] {
    pair both = connected_pair();
    char bytes[4];
    boost::system::error_code error;
    both.client.set_read_deadline(now() + 5ms);
    EXPECT_EQ(asio::read(both.client, asio::buffer(bytes), error), 0u);
    EXPECT_EQ(error, asio::error::timed_out);
    both.client.set_read_deadline({});
    EXPECT_EQ(asio::write(both.server, asio::buffer("ab", 2)), 2u);
    both.server.close();
    EXPECT_EQ(asio::read(both.client, asio::buffer(bytes), error), 2u);
    EXPECT_EQ(error, asio::error::eof);
    both.client.write_some(asio::buffer("x", 1), error);
    while (!error) both.client.write_some(asio::buffer("x", 1), error);
    EXPECT_TRUE(error == asio::error::broken_pipe || error == asio::error::connection_reset) << error.message();
    both.client.close();
    both.client.read_some(asio::buffer(bytes), error);
    EXPECT_EQ(error, asio::error::operation_aborted);
    error = asio::error::fault;
    pair fresh = connected_pair();
    fresh.client.write_some(asio::buffer("x", 1), error);
    EXPECT_FALSE(error);
    EXPECT_EQ(error, boost::system::error_code());
  });
}

RT_NET_TEST_ON_PROCS(beast_on);

}  // namespace
}  // namespace rt::net::testing
