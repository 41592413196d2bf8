// One client's connection: reads requests one after the other, has them handled, writes the answers.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "daemon/http/server.h"
#include "daemon/http/server_core.h"

namespace rtd::http::detail {

class connection : public std::enable_shared_from_this<connection> {
 public:
  enum class phase : std::uint8_t { idle, reading, handling, writing, lingering, closed };

  connection(std::shared_ptr<server_core> core, boost::asio::ip::tcp::socket socket, std::string peer);

  void start();
  /// Closes the socket and leaves the server's list; what is under way ends unheard.
  void close() noexcept;
  /// Sends the answer to the request in hand, where `number` is still that request.
  void answer(std::uint64_t number, response what) noexcept;
  bool awaits(std::uint64_t number) const noexcept { return phase_ == phase::handling && number == number_; }
  bool idle() const noexcept { return phase_ == phase::idle; }
  /// Sends its request or closes its end, and nothing is owed to it.
  bool dawdles() const noexcept { return phase_ == phase::reading || phase_ == phase::lingering; }
  /// Since when it is idle or has been at the request in hand.
  std::chrono::steady_clock::time_point since() const noexcept { return begun_; }

  /// Where the connection stands in the server's list.
  std::list<std::shared_ptr<connection>>::iterator place;

 private:
  using error_code = boost::beast::error_code;
  using parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void await_request();
  void read_head();
  void on_head(error_code error);
  void read_body();
  void on_body(error_code error);
  /// Sees to an error of reading: answers what deserves an answer, else closes.
  void refuse_or_close(error_code error, int timeout_code);
  void handle();
  void dispatch(const route_entry& route, const request& what);
  void refuse(int status, std::string_view why, field_list headers = {});
  void send(response what);
  void on_written(error_code error, bool keep);
  void linger();
  void discard();
  void note(int code) noexcept;
  /// Wraps a completion handler: keeps the connection alive and lets no exception into the loop.
  template <typename Function>
  auto guarded(Function function);

  std::shared_ptr<server_core> core_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer handler_deadline_;
  std::optional<parser> parser_;
  std::string peer_;

  // The request in hand.
  std::uint64_t number_ = 0;
  std::string handler_name_;
  std::string method_;
  bool wants_gzip_ = false;
  bool keep_alive_ = false;
  unsigned version_ = 11;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();

  phase phase_ = phase::idle;
  bool first_ = true;
  std::size_t discarded_ = 0;
};

/// What responders share. Answers for the handler when it is forgotten.
class pending_answer {
 public:
  pending_answer(std::weak_ptr<connection> to, std::uint64_t number) noexcept : to_(std::move(to)), number_(number) {}
  pending_answer(const pending_answer&) = delete;
  pending_answer& operator=(const pending_answer&) = delete;
  ~pending_answer();
  void answer(response what) noexcept;
  bool wanted() const noexcept;

 private:
  std::weak_ptr<connection> to_;
  std::uint64_t number_;
};

}  // namespace rtd::http::detail
