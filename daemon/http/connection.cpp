#include "daemon/http/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <cctype>
#include <ctime>
#include <limits>
#include <utility>

#include "daemon/http/compression.h"
#include "daemon/protocol/gzip.h"

namespace rtd::http::detail {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

namespace {

constexpr std::size_t read_size = 2048;
constexpr std::size_t least_size_to_compress = 1024;
constexpr std::size_t most_to_discard = 256 * 1024;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  const std::size_t size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, size);
}

bool is_safe_field(std::string_view name, std::string_view value) {
  const auto is_token = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; };
  const auto is_text = [](unsigned char c) { return c >= 0x20 && c != 0x7f; };
  return !name.empty() && std::all_of(name.begin(), name.end(), is_token) &&
         std::all_of(value.begin(), value.end(), is_text);
}

bool is_compressible(std::string_view content_type) {
  return content_type.starts_with("text/") || content_type.starts_with("application/json") ||
         content_type.starts_with("application/javascript") || content_type.starts_with("image/svg");
}

// "http://host/path" names the same thing as "/path".
std::string_view strip_authority(std::string_view target) {
  if (target.starts_with('/')) return target;
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::size_t path = target.find('/', scheme + 3);
  return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

connection::connection(std::shared_ptr<server_core> core, asio::ip::tcp::socket socket, std::string peer)
    : core_(std::move(core)),
      stream_(std::move(socket)),
      buffer_(core_->bounds().max_header_bytes + 4 * read_size),
      handler_deadline_(core_->loop()),
      peer_(std::move(peer)) {}

template <typename Function>
auto connection::guarded(Function function) {
  return [self = shared_from_this(), function = std::move(function)](auto... results) mutable {
    if (self->phase_ == phase::closed) return;
    try {
      function(results...);
    } catch (const std::exception& failure) {
      self->core_->report(std::string("an HTTP connection had to be closed: ") + failure.what());
      self->close();
    }
  };
}

void connection::start() { await_request(); }

void connection::close() noexcept {
  if (phase_ == phase::closed) return;
  const auto self = shared_from_this();  // the list may hold the last reference
  phase_ = phase::closed;
  stream_.close();
  handler_deadline_.cancel();
  core_->forget(*this);
}

// ---- reading

void connection::await_request() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(
      std::min<std::size_t>(core_->bounds().max_header_bytes, std::numeric_limits<std::uint32_t>::max())));
  parser_->body_limit(core_->bounds().max_body_bytes);
  handler_name_ = "other";
  method_.clear();
  version_ = 11;
  keep_alive_ = false;
  wants_gzip_ = false;
  begun_ = std::chrono::steady_clock::now();
  if (buffer_.size() > 0) {  // pipelined
    read_head();
    return;
  }
  phase_ = phase::idle;
  if (core_->stopping()) {
    close();
    return;
  }
  stream_.expires_after(first_ ? core_->bounds().header_timeout : core_->bounds().idle_timeout);
  stream_.async_read_some(buffer_.prepare(read_size), guarded([this](error_code error, std::size_t size) {
                            if (error) {
                              close();
                              return;
                            }
                            buffer_.commit(size);
                            read_head();
                          }));
}

void connection::read_head() {
  phase_ = phase::reading;
  first_ = false;
  begun_ = std::chrono::steady_clock::now();
  // Some clients send an empty line after a request's body.
  while (buffer_.size() >= 2) {
    const auto* start = static_cast<const char*>(buffer_.data().data());
    if (start[0] != '\r' || start[1] != '\n') break;
    buffer_.consume(2);
  }
  stream_.expires_after(core_->bounds().header_timeout);
  bhttp::async_read_header(stream_, buffer_, *parser_,
                           guarded([this](error_code error, std::size_t) { on_head(error); }));
}

void connection::on_head(error_code error) {
  if (error) {
    refuse_or_close(error, 408);
    return;
  }
  begun_ = std::chrono::steady_clock::now();
  ++number_;
  const auto& head = parser_->get();
  method_.assign(head.method_string().data(), head.method_string().size());
  version_ = head.version();
  keep_alive_ = parser_->keep_alive();

  std::string accepted;
  for (const auto& field : head) {
    if (field.name() != bhttp::field::accept_encoding) continue;
    accepted.append(accepted.empty() ? "" : ",").append(view(field.value()));
  }
  wants_gzip_ = accepts_gzip(accepted);

  const std::size_t hosts = head.count(bhttp::field::host);
  if (hosts > 1 || (hosts == 0 && version_ >= 11)) {
    keep_alive_ = false;
    refuse(400, hosts == 0 ? "the Host header is missing" : "there is more than one Host header");
    return;
  }
  const std::string expected = lower(view(head[bhttp::field::expect]));
  if (!expected.empty() && expected != "100-continue") {
    keep_alive_ = false;
    refuse(417, "only \"Expect: 100-continue\" is known");
    return;
  }
  if (parser_->is_done()) {
    handle();
    return;
  }
  if (expected.empty() || version_ < 11 || buffer_.size() > 0) {
    read_body();
    return;
  }
  static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  stream_.expires_after(core_->bounds().write_timeout);
  asio::async_write(stream_, asio::buffer(go_on), guarded([this](error_code failed, std::size_t) {
                      if (failed) {
                        close();
                      } else {
                        read_body();
                      }
                    }));
}

void connection::read_body() {
  stream_.expires_after(core_->bounds().body_timeout);
  bhttp::async_read(stream_, buffer_, *parser_, guarded([this](error_code error, std::size_t) { on_body(error); }));
}

void connection::on_body(error_code error) {
  if (error) {
    refuse_or_close(error, 408);
  } else {
    handle();
  }
}

void connection::refuse_or_close(error_code error, int timeout_code) {
  keep_alive_ = false;
  if (error == beast::error::timeout) {  // the stream has closed the socket already
    core_->count_timeout();
    note(timeout_code);
    close();
    return;
  }
  const bool is_http_error = error.category() == make_error_code(bhttp::error::bad_target).category();
  if (!is_http_error || error == bhttp::error::end_of_stream || error == bhttp::error::partial_message) {
    close();
    return;
  }
  if (error == bhttp::error::header_limit || error == bhttp::error::buffer_overflow) {
    refuse(431, "the request's head is larger than " + std::to_string(core_->bounds().max_header_bytes) + " bytes");
  } else if (error == bhttp::error::body_limit) {
    refuse(413, "the request's body is larger than " + std::to_string(core_->bounds().max_body_bytes) + " bytes");
  } else if (error == bhttp::error::bad_version) {
    refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  } else {
    refuse(400, "this is no HTTP request: " + error.message());
  }
}

// ---- handling

void connection::handle() {
  stream_.expires_never();
  const auto& message = parser_->get();
  request what;
  what.method = method_;
  what.target.assign(message.target().data(), message.target().size());
  const std::string_view target = strip_authority(what.target);
  const std::size_t question = target.find('?');
  std::optional<std::string> path = percent_decode(target.substr(0, question), false);
  if (target.empty() || !path) {
    keep_alive_ = false;
    refuse(400, target.empty() ? "the request's target is no path" : "the path has a wrong % escape");
    return;
  }
  what.path = std::move(*path);
  if (question != std::string_view::npos) what.query = parse_query(target.substr(question + 1));
  for (const auto& field : message) {
    what.headers.emplace_back(lower(view(field.name_string())), std::string(view(field.value())));
  }
  what.body = std::move(parser_->get().body());
  what.peer = peer_;

  const auto route = core_->find_route(what.path);
  if (!route) {
    refuse(404, "there is nothing at this path");
    return;
  }
  handler_name_ = route->path;
  if (!route->allows(what.method)) {
    refuse(405, "this path is for " + route->allowed(), {{"Allow", route->allowed()}});
    return;
  }
  dispatch(*route, what);
}

void connection::dispatch(const route_entry& route, const request& what) {
  phase_ = phase::handling;
  const std::uint64_t number = number_;
  {
    const auto pending = std::make_shared<pending_answer>(weak_from_this(), number);
    try {
      route.handle(what, responder(pending));
    } catch (const std::exception& failure) {
      core_->report("the handler of " + route.path + " failed: " + failure.what());
      pending->answer(text_response(500, "internal error"));
    }
  }
  if (!awaits(number)) return;
  handler_deadline_.expires_after(core_->bounds().handler_timeout);
  handler_deadline_.async_wait(guarded([this, number](error_code cancelled) {
    if (cancelled || !awaits(number)) return;
    core_->count_timeout();
    core_->report("the handler of " + handler_name_ + " did not answer in time");
    answer(number, text_response(504, "no answer in time"));
  }));
}

void connection::answer(std::uint64_t number, response what) noexcept {
  if (!awaits(number)) return;
  const auto self = shared_from_this();
  try {
    send(std::move(what));
  } catch (const std::exception& failure) {
    core_->report(std::string("an answer could not be sent: ") + failure.what());
    close();
  }
}

void connection::refuse(int status, std::string_view why, field_list headers) {
  response what = text_response(status, why);
  what.headers = std::move(headers);
  send(std::move(what));
}

// ---- writing

void connection::send(response what) {
  phase_ = phase::writing;
  handler_deadline_.cancel();
  const auto message = std::make_shared<bhttp::response<bhttp::string_body>>();
  message->result(static_cast<unsigned>(what.status));
  message->version(version_ < 11 ? 10 : 11);
  message->set(bhttp::field::date, http_date());
  message->set("X-Content-Type-Options", "nosniff");
  bool encoded = false;
  for (const auto& [name, value] : what.headers) {
    if (!is_safe_field(name, value)) {
      core_->report("a header of the answer of " + handler_name_ + " has characters that are not allowed");
      continue;
    }
    message->insert(name, value);
    encoded = encoded || lower(name) == "content-encoding";
  }
  const bool has_body = what.status != 204 && what.status != 304;
  if (has_body && is_safe_field("Content-Type", what.content_type)) {
    message->set(bhttp::field::content_type, what.content_type);
  }
  if (has_body && !encoded && what.body.size() > least_size_to_compress && is_compressible(what.content_type)) {
    message->insert("Vary", "Accept-Encoding");
    if (wants_gzip_) {
      if (std::optional<std::string> small = protocol::gzip(what.body)) {
        what.body = std::move(*small);
        message->set(bhttp::field::content_encoding, "gzip");
      }
    }
  }
  const bool keep = keep_alive_ && !core_->stopping();
  message->keep_alive(keep);
  if (has_body) message->content_length(what.body.size());
  if (has_body && method_ != "HEAD") message->body() = std::move(what.body);

  const int status = what.status;
  stream_.expires_after(core_->bounds().write_timeout);
  bhttp::async_write(stream_, *message, guarded([this, message, keep, status](error_code error, std::size_t) {
                       note(status);
                       on_written(error, keep);
                     }));
}

void connection::on_written(error_code error, bool keep) {
  if (error) {
    if (error == beast::error::timeout) core_->count_timeout();
    close();
  } else if (keep) {
    await_request();
  } else {
    linger();
  }
}

// Closing a socket that has unread input resets it, and a reset can overtake the answer. So say that nothing more
// follows, and read on for a moment until the client has closed as well.
void connection::linger() {
  phase_ = phase::lingering;
  error_code error;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) {
    close();
    return;
  }
  buffer_.clear();
  stream_.expires_after(core_->bounds().linger_timeout);
  discard();
}

void connection::discard() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(read_size), guarded([this](error_code error, std::size_t size) {
                            discarded_ += size;
                            if (error || discarded_ > most_to_discard) {
                              close();
                            } else {
                              discard();
                            }
                          }));
}

void connection::note(int code) noexcept {
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun_;
  core_->observe({handler_name_, method_, code, taken.count()});
}

// ---- pending answers

pending_answer::~pending_answer() {
  if (!wanted()) return;
  answer(text_response(500, "the handler gave no answer"));
}

void pending_answer::answer(response what) noexcept {
  if (const auto to = to_.lock()) to->answer(number_, std::move(what));
}

bool pending_answer::wanted() const noexcept {
  const auto to = to_.lock();
  return to && to->awaits(number_);
}

}  // namespace rtd::http::detail
