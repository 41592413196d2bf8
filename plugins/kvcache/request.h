// Requests of the memcached text protocol, from bytes that come in pieces.
//
// A request is a line, and behind those that store a value a block of data. Whatever a client sends, the reader keeps
// no more than one line and one value, and either finds a request or says what to answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvcache {

enum class verb : std::uint8_t {
  get,
  gets,
  set,
  add,
  replace,
  append,
  prepend,
  cas,
  remove,  // delete
  increment,
  decrement,
  touch,
  stats,
  flush_all,
  version,
  verbosity,
  quit,
};

struct request {
  verb what = verb::get;
  std::vector<std::string> keys;  // of get and gets any number, of stats its argument, else one
  std::string value;
  std::uint32_t flags = 0;
  std::int64_t time = 0;     // as the client gave it: of life, or until flush_all does it
  std::uint64_t number = 0;  // of cas the unique number, of incr and decr the difference
  bool quiet = false;        // noreply
};

/// What the reader has found.
enum class reading : std::uint8_t {
  more,     // nothing yet: give it more bytes
  request,  // a request
  refused,  // answer with refusal(), and go on, unless is_over()
};

class request_reader {
 public:
  static constexpr std::size_t longest_key = 250;
  static constexpr std::size_t longest_line = 65'536;

  /// Values of up to `longest_value` bytes are taken.
  explicit request_reader(std::size_t longest_value) : longest_value_(longest_value) {}

  /// Takes bytes from the front of `bytes`, up to the end of the next request at most.
  reading read(std::string_view& bytes);
  /// The request that was found. Good until the next read.
  request& found() noexcept { return request_; }
  /// The line that refuses what was read, with its end; empty if the client wants no answer.
  const std::string& refusal() const noexcept { return refusal_; }
  /// Where the next request begins is not known: the connection has to be closed.
  bool is_over() const noexcept { return over_; }

 private:
  enum class state : std::uint8_t { line, value, end_of_value, skipping };

  reading take_line();
  reading read_storage(const std::vector<std::string_view>& words);
  reading refuse(std::string_view text);
  reading read_value(std::string_view& bytes);

  std::size_t longest_value_;
  state state_ = state::line;
  std::string line_;
  request request_;
  std::size_t missing_ = 0;  // bytes of the value, or of what is skipped
  std::string end_;          // what came behind the value, two bytes
  std::string refusal_;
  bool over_ = false;
};

}  // namespace kvcache
