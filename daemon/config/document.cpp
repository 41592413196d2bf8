#include "daemon/config/document.h"

#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/config/syntax_error.h"
#include "daemon/config/text.h"
#include "daemon/protocol/text.h"

namespace rtd::config {
namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

/// Receives the parser's events and builds the tree.
///
/// The parser does not tell where a token stands. So the builder keeps a cursor just behind the last token that it was
/// told of: the next event's token is the first thing after white space, commas and colons. The parser has checked the
/// grammar before it sends an event, so the cursor cannot get out of step.
class tree_builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  tree_builder(std::string_view text, problem_list& problems) : text_(text), problems_(problems), counter_(text) {}

  /// The tree, once the parser has returned true.
  node take_root() { return std::move(root_); }

  bool null() override { return scalar(node_kind::null); }

  bool boolean(bool value) override {
    node made;
    made.boolean = value;
    return scalar(node_kind::boolean, std::move(made));
  }

  bool number_integer(number_integer_t value) override {
    node made;
    made.integer = value;
    return number(node_kind::integer, std::move(made));
  }

  bool number_unsigned(number_unsigned_t value) override {
    constexpr number_unsigned_t most = std::numeric_limits<std::int64_t>::max();
    node made;
    made.integer = static_cast<std::int64_t>(value < most ? value : most);
    return number(node_kind::integer, std::move(made));
  }

  /// Also comes for whole numbers that do not fit 64 bits.
  bool number_float(number_float_t value, const string_t& text) override {
    node made;
    made.integer = value < 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
    const bool whole = text.find_first_of(".eE") == string_t::npos;
    return number(whole ? node_kind::integer : node_kind::real, std::move(made));
  }

  bool string(string_t& value) override {
    node made;
    made.text = std::move(value);
    return scalar(node_kind::string, std::move(made));
  }

  bool binary(binary_t&) override { return false; }  // JSON text has no such thing

  bool start_object(std::size_t) override { return open(node_kind::object); }
  bool start_array(std::size_t) override { return open(node_kind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    next_token();
    const place at = counter_.advance_to(token_);
    frame& object = open_.back();
    object.key = std::move(name);
    object.key_at = at;
    object.awaits_value = true;
    object.drops_value = true;
    if (object.key.size() > most_key_bytes) {
      problems_.add(container_pointer(), at, "the key " + in_quotes(object.key, 32) + " is longer than 128 bytes",
                    "shorten it");
      object.key.clear();
      return true;
    }
    const auto [first, is_new] = object.seen.emplace(object.key, at);
    object.drops_value = !is_new;
    if (!is_new) {
      problems_.add(child_pointer(container_pointer(), object.key), at,
                    "the key " + in_quotes(object.key) + " stands twice in this object; the first is at line " +
                        std::to_string(first->second.line) + ", column " + std::to_string(first->second.column),
                    "keep one of them");
    }
    return true;
  }

  bool parse_error(std::size_t bytes_read, const std::string&, const nlohmann::json::exception& error) override {
    syntax_context context;
    context.text = text_;
    context.last_read = bytes_read == 0 ? 0 : bytes_read - 1;
    const std::string_view what = error.what();
    const bool broken_word =
        what.find("invalid literal") != std::string_view::npos || what.find("invalid number") != std::string_view::npos;
    context.token = failing_token(bytes_read, broken_word);
    context.after_document = open_.empty() && values_ > 0;
    context.parser_message = what;
    if (!open_.empty()) {
      context.open = open_.back().container.kind == node_kind::object ? '{' : '[';
      context.open_at = open_.back().container.at;
    }
    const syntax_explanation why = explain_syntax_error(context);
    // The place may lie before the cursor (a comma before it, say), so it is counted from the start.
    const place at = place_counter(text_).advance_to(why.offset);
    problems_.add(context.token < cursor_ ? last_value_pointer() : value_pointer(), at, why.message, why.hint);
    return false;
  }

 private:
  struct frame {
    node container;
    std::string key;
    place key_at;
    bool awaits_value = false;
    bool drops_value = false;
    std::map<std::string, place, std::less<>> seen;
  };

  /// Moves to the token of the event at hand.
  void next_token() {
    std::size_t start = skip_space(text_, cursor_);
    while (start < text_.size() && (text_[start] == ',' || text_[start] == ':')) start = skip_space(text_, start + 1);
    token_ = start;
    cursor_ = token_end(text_, start);
  }

  /// The start of the token in which the parser stopped after reading `bytes_read` bytes. Of a word or number that is
  /// broken it may have read one byte more, to see where it ends.
  std::size_t failing_token(std::size_t bytes_read, bool broken_word) const {
    if (bytes_read <= cursor_ && values_ > 0) return token_;  // "01", "nullx": one word here, two tokens there
    std::size_t start = skip_space(text_, cursor_);
    while (start < text_.size()) {
      const std::size_t end = token_end(text_, start);
      const bool unclosed = text_[start] == '"' && end == text_.size();
      const bool word = broken_word && !is_punctuation(text_[start]);
      if (end >= bytes_read || unclosed || (word && end + 1 >= bytes_read)) return start;
      start = skip_space(text_, end);
    }
    return text_.size();
  }

  bool count_value() {
    if (++values_ <= most_values) return true;
    problems_.add({}, counter_.advance_to(token_), "the text has more than 100000 values", "shorten it");
    return false;
  }

  bool number(node_kind kind, node made) {
    next_token();
    made.text = std::string(text_.substr(token_, cursor_ - token_));
    return finish_scalar(kind, std::move(made));
  }

  bool scalar(node_kind kind, node made = {}) {
    next_token();
    return finish_scalar(kind, std::move(made));
  }

  bool finish_scalar(node_kind kind, node made) {
    if (!count_value()) return false;
    made.kind = kind;
    made.at = counter_.advance_to(token_);
    if (made.text.find('\0') != std::string::npos) {
      problems_.add(value_pointer(), made.at, "the string " + in_quotes(made.text) + " contains a NUL character",
                    "remove \\u0000");
    }
    attach(std::move(made));
    return true;
  }

  bool open(node_kind kind) {
    next_token();
    if (!count_value()) return false;
    const place at = counter_.advance_to(token_);
    if (open_.size() == most_depth) {
      problems_.add(value_pointer(), at, "objects and arrays are nested more than 32 deep", "flatten this part");
      return false;
    }
    frame opened;
    opened.container.kind = kind;
    opened.container.at = at;
    open_.push_back(std::move(opened));
    return true;
  }

  bool close() {
    next_token();
    node done = std::move(open_.back().container);
    open_.pop_back();
    attach(std::move(done));
    return true;
  }

  void attach(node made) {
    if (open_.empty()) {
      root_ = std::move(made);
      return;
    }
    frame& parent = open_.back();
    if (parent.container.kind == node_kind::array) {
      parent.container.items.push_back(std::move(made));
    } else if (!parent.drops_value) {
      parent.container.members.push_back({parent.key, parent.key_at, std::move(made)});
    }
    parent.awaits_value = false;
  }

  /// The pointer of the innermost open container.
  std::string container_pointer() const {
    std::string pointer;
    for (std::size_t i = 0; i + 1 < open_.size(); ++i) pointer = pointer_inside(open_[i], pointer);
    return pointer;
  }

  /// The pointer of the value that the parser is at.
  std::string value_pointer() const {
    if (open_.empty()) return {};
    const frame& innermost = open_.back();
    if (innermost.container.kind == node_kind::object && !innermost.awaits_value) return container_pointer();
    return pointer_inside(innermost, container_pointer());
  }

  /// The pointer of the value that came last.
  std::string last_value_pointer() const {
    if (open_.empty()) return {};
    const frame& innermost = open_.back();
    if (innermost.container.kind == node_kind::object) return child_pointer(container_pointer(), innermost.key);
    const std::size_t count = innermost.container.items.size();
    return child_pointer(container_pointer(), std::to_string(count == 0 ? 0 : count - 1));
  }

  static std::string pointer_inside(const frame& parent, const std::string& pointer) {
    if (parent.container.kind == node_kind::object) return child_pointer(pointer, parent.key);
    return child_pointer(pointer, std::to_string(parent.container.items.size()));
  }

  std::string_view text_;
  problem_list& problems_;
  place_counter counter_;
  std::size_t token_ = 0;   // start of the token of the last event
  std::size_t cursor_ = 0;  // just behind that token
  std::size_t values_ = 0;
  std::vector<frame> open_;
  node root_;
};

/// Encodings that editors save by accident, told by their byte order marks.
bool is_wide_encoding(std::string_view text) {
  return text.substr(0, 2) == "\xff\xfe" || text.substr(0, 2) == "\xfe\xff" ||
         text.substr(0, 4) == std::string_view("\0\0\xfe\xff", 4);
}

std::string hexadecimal(char byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto number = static_cast<unsigned char>(byte);
  return {'0', 'x', digits[number >> 4], digits[number & 15]};
}

bool is_acceptable_text(std::string_view text, problem_list& problems) {
  if (text.size() > most_text_bytes) {
    problems.add_for_file("the text is larger than 4 MiB", "shorten it");
    return false;
  }
  if (is_wide_encoding(text)) {
    problems.add({}, {}, "the text is UTF-16 or UTF-32", "save it as UTF-8");
    return false;
  }
  if (const auto offset = first_invalid_utf8(text)) {
    problems.add({}, place_counter(text).advance_to(*offset),
                 "the byte " + hexadecimal(text[*offset]) + " is not UTF-8", "save the text as UTF-8");
    return false;
  }
  return true;
}

}  // namespace

std::optional<node> parse_document(std::string_view text, problem_list& problems) {
  if (text.substr(0, byte_order_mark.size()) == byte_order_mark) text.remove_prefix(byte_order_mark.size());
  if (!is_acceptable_text(text, problems)) return std::nullopt;
  tree_builder builder(text, problems);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return std::nullopt;
  return builder.take_root();
}

std::string describe(const node& value) {
  switch (value.kind) {
    case node_kind::null:
      return "null";
    case node_kind::boolean:
      return value.boolean ? "true" : "false";
    case node_kind::integer:
    case node_kind::real:
      return "the number " + protocol::clean_text(value.text, 40);
    case node_kind::string:
      return "the string " + in_quotes(value.text);
    case node_kind::array:
      return "an array";
    case node_kind::object:
      break;
  }
  return "an object";
}

}  // namespace rtd::config
