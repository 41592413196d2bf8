#include "plugins/kvcache/request.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace kvcache {

namespace {

constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format\r\n";

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) return words;
    std::size_t end = std::min(line.find(' ', begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

template <class Number>
bool read_number(std::string_view text, Number& into) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_key(std::string_view text) {
  return text.size() <= request_reader::longest_key &&
         std::ranges::none_of(text, [](char one) { return static_cast<unsigned char>(one) < 0x20 || one == 0x7f; });
}

struct command {
  std::string_view name;
  verb what;
};
constexpr command commands[] = {
    {"get", verb::get},         {"gets", verb::gets},       {"set", verb::set},
    {"add", verb::add},         {"replace", verb::replace}, {"cas", verb::cas},
    {"append", verb::append},   {"prepend", verb::prepend}, {"verbosity", verb::verbosity},
    {"delete", verb::remove},   {"incr", verb::increment},  {"decr", verb::decrement},
    {"touch", verb::touch},     {"stats", verb::stats},     {"flush_all", verb::flush_all},
    {"version", verb::version}, {"quit", verb::quit},
};

}  // namespace

reading request_reader::refuse(std::string_view text) {
  refusal_ = request_.quiet ? std::string_view() : text;
  return reading::refused;
}

reading request_reader::read(std::string_view& bytes) {
  switch (state_) {
    case state::line: {
      std::size_t end = bytes.find('\n');
      std::size_t length = std::min(end, bytes.size());
      if (line_.size() + length > longest_line) {
        over_ = true;
        request_.quiet = false;
        return refuse("CLIENT_ERROR line too long\r\n");
      }
      line_.append(bytes.substr(0, length));
      bytes.remove_prefix(end == std::string_view::npos ? length : length + 1);
      if (end == std::string_view::npos) return reading::more;
      if (!line_.empty() && line_.back() == '\r') line_.pop_back();
      reading result = take_line();
      line_.clear();
      return result == reading::more ? read(bytes) : result;  // a value follows
    }
    case state::value:
    case state::end_of_value:
      return read_value(bytes);
    case state::skipping: {
      std::size_t length = std::min(missing_, bytes.size());
      bytes.remove_prefix(length);
      missing_ -= length;
      if (missing_ != 0 || bytes.empty()) return reading::more;
      state_ = state::line;
      return read(bytes);
    }
  }
  return reading::more;
}

reading request_reader::read_value(std::string_view& bytes) {
  if (state_ == state::value) {
    std::size_t length = std::min(missing_, bytes.size());
    request_.value.append(bytes.substr(0, length));
    bytes.remove_prefix(length);
    missing_ -= length;
    if (missing_ != 0) return reading::more;
    state_ = state::end_of_value;
    end_.clear();
  }
  while (end_.size() < 2 && !bytes.empty()) {
    end_ += bytes.front();
    bytes.remove_prefix(1);
    if (end_.size() == 1 && end_ != "\r") break;
  }
  if (end_ == "\r\n") {
    state_ = state::line;
    return reading::request;
  }
  if (end_.empty() || end_ == "\r") return reading::more;
  // The rest of the line is a part of a value that was longer than it said.
  state_ = state::line;
  line_.clear();
  return refuse("CLIENT_ERROR bad data chunk\r\n");
}

reading request_reader::take_line() {
  request_ = {};
  std::vector<std::string_view> words = split(line_);
  const command* known = nullptr;
  if (!words.empty()) {
    known = std::ranges::find(commands, words[0], &command::name);
    if (known == std::end(commands)) known = nullptr;
  }
  if (known == nullptr) return refuse("ERROR\r\n");
  request_.what = known->what;
  bool may_be_quiet = known->what != verb::get && known->what != verb::gets && known->what != verb::stats &&
                      known->what != verb::version && known->what != verb::quit;
  if (may_be_quiet && words.back() == "noreply") {
    request_.quiet = true;
    words.pop_back();
  }
  std::size_t given = words.size() - 1;
  switch (known->what) {
    case verb::get:
    case verb::gets:
      if (given == 0) return refuse("ERROR\r\n");
      for (std::size_t i = 1; i <= given; ++i) {
        if (!is_key(words[i])) return refuse(bad_format);
        request_.keys.emplace_back(words[i]);
      }
      return reading::request;
    case verb::set:
    case verb::add:
    case verb::replace:
    case verb::append:
    case verb::prepend:
    case verb::cas:
      return read_storage(words);
    case verb::remove: {
      // A time of 0 is what clients of old still send.
      bool fits = given == 1 || (given == 2 && words[2] == "0");
      if (given == 0) return refuse("ERROR\r\n");
      if (!fits || !is_key(words[1])) return refuse(bad_format);
      request_.keys.emplace_back(words[1]);
      return reading::request;
    }
    case verb::increment:
    case verb::decrement:
      if (given != 2) return refuse("ERROR\r\n");
      if (!is_key(words[1])) return refuse(bad_format);
      if (!read_number(words[2], request_.number)) return refuse("CLIENT_ERROR invalid numeric delta argument\r\n");
      request_.keys.emplace_back(words[1]);
      return reading::request;
    case verb::touch:
      if (given != 2) return refuse("ERROR\r\n");
      if (!is_key(words[1])) return refuse(bad_format);
      if (!read_number(words[2], request_.time)) return refuse("CLIENT_ERROR invalid exptime argument\r\n");
      request_.keys.emplace_back(words[1]);
      return reading::request;
    case verb::stats:
      // Those that memcached has beside the general ones.
      if (given > 1 ||
          (given == 1 && words[1] != "items" && words[1] != "settings" && words[1] != "sizes" && words[1] != "slabs")) {
        return refuse("ERROR\r\n");
      }
      if (given == 1) request_.keys.emplace_back(words[1]);
      return reading::request;
    case verb::flush_all:
      if (given > 1 || (given == 1 && !read_number(words[1], request_.time))) return refuse(bad_format);
      return reading::request;
    case verb::verbosity:
      if (given == 1 && read_number(words[1], request_.number)) return reading::request;
      return refuse("ERROR\r\n");
    case verb::version:
    case verb::quit:
      if (given != 0) return refuse("ERROR\r\n");
      return reading::request;
  }
  return refuse("ERROR\r\n");
}

// set, add, replace: KEY FLAGS TIME SIZE; cas: one number more.
reading request_reader::read_storage(const std::vector<std::string_view>& words) {
  std::size_t wanted = request_.what == verb::cas ? 6 : 5;
  std::uint64_t size = 0;
  if (words.size() < wanted) return refuse("ERROR\r\n");
  bool fits = words.size() == wanted && is_key(words[1]) && read_number(words[2], request_.flags) &&
              read_number(words[3], request_.time) && read_number(words[4], size) &&
              (request_.what != verb::cas || read_number(words[5], request_.number));
  // What follows is taken for the next line: where the value ends is not known.
  if (!fits || size > PTRDIFF_MAX / 2) return refuse(bad_format);
  if (size > longest_value_) {
    state_ = state::skipping;
    missing_ = size + 2;
    return refuse("SERVER_ERROR object too large for cache\r\n");
  }
  request_.keys.emplace_back(words[1]);
  request_.value.reserve(size);
  state_ = state::value;
  missing_ = size;
  return reading::more;
}

}  // namespace kvcache
