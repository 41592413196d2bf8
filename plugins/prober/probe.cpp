#include "plugins/prober/probe.h"

#include <rt/asio.h>
#include <rt/net.h>

#include <algorithm>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <system_error>

namespace prober {

namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t piece_bytes = 16 * 1024;
constexpr std::size_t most_header_bytes = 64 * 1024;

std::string seconds_text(rt::duration length) {
  std::string text = std::to_string(std::chrono::duration<double>(length).count());
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

outcome fail(failure reason, std::string detail) {
  outcome result;
  result.reason = reason;
  result.detail = std::move(detail);
  return result;
}

outcome too_late(rt::duration timeout, const char* what) {
  return fail(failure::timeout, std::string(what) + " within " + seconds_text(timeout));
}

outcome failed_dial(const std::error_code& error, rt::duration timeout) {
  if (error == rt::net::errc::timed_out || error == std::errc::timed_out) return too_late(timeout, "no connection");
  bool by_name = error == rt::net::errc::not_found || error == rt::net::errc::lookup_failed;
  return fail(by_name ? failure::lookup : failure::connect, error.message());
}

outcome failed_exchange(const error_code& error, rt::duration timeout) {
  if (error == boost::asio::error::timed_out) return too_late(timeout, "no complete answer");
  if (error == http::error::end_of_stream) return fail(failure::protocol, "closed the connection without an answer");
  if (error == http::error::partial_message) return fail(failure::protocol, "the answer broke off");
  return fail(failure::protocol, error.message());
}

error_code send_request(rt::net::conn& connection, const target& where) {
  http::request<http::empty_body> request(http::verb::get, where.path, 11);
  request.set(http::field::host, where.host_header);
  request.set(http::field::user_agent, "rtd-prober/1.0.0");
  request.set(http::field::accept, "*/*");
  request.set(http::field::connection, "close");
  error_code error;
  http::write(connection, request, error);
  return error;
}

using response_parser = http::response_parser<http::buffer_body>;

// Reads headers until those of the final answer: "103 Early Hints" and kin may come first.
error_code read_header(rt::net::conn& connection, boost::beast::flat_buffer& buffer,
                       std::unique_ptr<response_parser>& parser) {
  while (true) {
    parser = std::make_unique<response_parser>();
    parser->header_limit(most_header_bytes);
    parser->body_limit(boost::none);  // read_body stops by itself
    error_code error;
    http::read_header(connection, buffer, *parser, error);
    if (error || http::to_status_class(parser->get().result_int()) != http::status_class::informational) return error;
    if (parser->get().result() == http::status::switching_protocols) return error;
  }
}

// Reads the body up to most_body_bytes. It is kept only when somebody will look into it.
error_code read_body(rt::net::conn& connection, boost::beast::flat_buffer& buffer, response_parser& parser, bool keep,
                     std::string& body) {
  std::unique_ptr<char[]> piece(new char[piece_bytes]);
  std::size_t total = 0;
  while (!parser.is_done() && total < most_body_bytes) {
    http::buffer_body::value_type& place = parser.get().body();
    place.data = piece.get();
    place.size = std::min(piece_bytes, most_body_bytes - total);
    std::size_t room = place.size;
    error_code error;
    http::read(connection, buffer, parser, error);
    if (error && error != http::error::need_buffer) return error;
    std::size_t count = room - place.size;
    if (keep) body.append(piece.get(), count);
    total += count;
  }
  return {};
}

outcome exchange(rt::net::conn& connection, const target& where, const expectation& expected, rt::duration timeout) {
  if (error_code error = send_request(connection, where)) return failed_exchange(error, timeout);
  boost::beast::flat_buffer buffer;
  std::unique_ptr<response_parser> parser;
  if (error_code error = read_header(connection, buffer, parser)) return failed_exchange(error, timeout);

  int status = static_cast<int>(parser->get().result_int());
  std::string body;
  error_code error = read_body(connection, buffer, *parser, !expected.body_text.empty(), body);
  outcome result;
  if (!expected.statuses.contains(status)) {
    result = fail(failure::status, "answered " + std::to_string(status) + ", expected " + expected.statuses.text());
  } else if (error) {
    result = failed_exchange(error, timeout);
  } else if (body.find(expected.body_text) == std::string::npos) {
    result = fail(failure::body, "the text \"" + expected.body_text + "\" is not in the answer");
  }
  result.status = status;
  return result;
}

outcome check(const target& where, const expectation& expected, rt::duration timeout, rt::time_point deadline) {
  std::error_code error;
  rt::net::conn connection = rt::net::dial_until("tcp", where.address, deadline, error);
  if (error) return failed_dial(error, timeout);
  if (where.kind == scheme::tcp) return {};
  connection.set_deadline(deadline);
  return exchange(connection, where, expected, timeout);
}

}  // namespace

const char* to_text(failure reason) noexcept {
  switch (reason) {
    case failure::none:
      return "none";
    case failure::lookup:
      return "lookup";
    case failure::connect:
      return "connect";
    case failure::timeout:
      return "timeout";
    case failure::protocol:
      return "protocol";
    case failure::status:
      return "status";
    case failure::body:
      return "body";
  }
  return "unknown";
}

outcome probe(const target& where, const expectation& expected, rt::duration timeout) {
  rt::time_point begin = rt::now();
  outcome result = check(where, expected, timeout, begin + timeout);
  result.length = rt::now() - begin;
  return result;
}

}  // namespace prober
