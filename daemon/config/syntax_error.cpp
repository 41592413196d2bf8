#include "daemon/config/syntax_error.h"

#include <algorithm>
#include <cstdio>

#include "daemon/config/text.h"
#include "daemon/protocol/text.h"

namespace rtd::config {
namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

std::string lower_case(std::string_view word) {
  std::string result(word);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// Names what is in the way: `'}'`, `the string "a"`, `the word True`, `12`.
std::string name_of(std::string_view token) {
  if (token[0] == '"') return "the string " + in_quotes(token.substr(1, token.size() >= 2 ? token.size() - 2 : 0), 32);
  if (is_punctuation(token[0])) return std::string("'") + token[0] + '\'';
  return (is_letter(token[0]) ? "the word " : "") + protocol::clean_text(token, 32);
}

/// What the parser wanted in the place of the token.
enum class wanted { value, key, colon, comma_or_brace, comma_or_bracket, end };

class explainer {
 public:
  explicit explainer(const syntax_context& context) : context_(context), text_(context.text) {
    if (context.token < text_.size()) {
      token_ = text_.substr(context.token, token_end(text_, context.token) - context.token);
    }
    const std::size_t before = text_.find_last_not_of(" \t\r\n", context.token == 0 ? 0 : context.token - 1);
    if (context.token > 0 && before != std::string_view::npos) before_ = before;
  }

  syntax_explanation explain() const {
    if (token_.empty()) return explain_end();
    if (is_comment()) return here("comments are not allowed in JSON", "remove the comment");
    if (token_[0] == '\'') return here("single quotes mean nothing in JSON", "put strings and keys in double quotes");
    if (token_[0] == '"' && says("invalid string")) return explain_string();
    if (token_.substr(0, 3) == "\xef\xbb\xbf") return here("a byte order mark stands inside the text", "remove it");
    if (context_.after_document) {
      return here(name_of(token_) + " stands after the end of the document",
                  "a file holds one JSON object, remove the rest");
    }
    if (!is_punctuation(token_[0]) && token_[0] != '"') return explain_word();
    return explain_unexpected();
  }

 private:
  syntax_explanation here(std::string message, std::string hint = {}) const {
    return {context_.token, std::move(message), std::move(hint)};
  }

  bool says(std::string_view part) const { return context_.parser_message.find(part) != std::string_view::npos; }

  char before() const { return before_ ? text_[*before_] : '\0'; }

  bool is_comment() const { return token_[0] == '#' || token_.substr(0, 2) == "//" || token_.substr(0, 2) == "/*"; }

  wanted what_was_wanted() const {
    if (says("while parsing object key")) return wanted::key;
    if (says("while parsing object separator")) return wanted::colon;
    if (says("while parsing object -")) return wanted::comma_or_brace;
    if (says("while parsing array -")) return wanted::comma_or_bracket;
    return context_.after_document ? wanted::end : wanted::value;
  }

  syntax_explanation explain_end() const {
    if (skip_space(text_, 0) >= text_.size()) return here("the text is empty", "the smallest configuration is {}");
    if (context_.open == '\0') return here("the text ends too early");
    const bool object = context_.open == '{';
    return here("the text ends inside the " + std::string(object ? "object" : "array") + " that starts at line " +
                    std::to_string(context_.open_at.line) + ", column " + std::to_string(context_.open_at.column),
                std::string("is a '") + (object ? '}' : ']') + "' missing?");
  }

  syntax_explanation explain_string() const {
    if (says("missing closing quote")) {
      return here("the string that starts here is not closed", "is a double quote missing?");
    }
    const std::size_t at = std::min(context_.last_read, text_.size() - 1);
    if (static_cast<unsigned char>(text_[at]) < 0x20) return explain_control_character(at);
    if (says("surrogate")) {
      return {at, "a \\u escape in this string is half of a surrogate pair",
              "write both halves, or the character itself"};
    }
    if (says("'\\u'")) return {at, "\\u is not followed by four hexadecimal digits", "write \\u00e9, say"};
    return {at, "a backslash and " + in_quotes(text_.substr(at, decode(text_, at).length)) + " are no escape",
            "a backslash itself is written \\\\"};
  }

  syntax_explanation explain_control_character(std::size_t at) const {
    const char character = text_[at];
    if (character == '\n') {
      return {at, "the line ends inside a string", "is a double quote missing? A line end in a string is written \\n"};
    }
    char escape[8] = "\\t";
    if (character != '\t') std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(character));
    return {at, "a string contains a control character", std::string("write it as ") + escape};
  }

  /// Something that is neither punctuation nor a string: a number or a bare word, well formed or not.
  syntax_explanation explain_word() const {
    const std::string shown = name_of(token_);
    if (says("number overflow")) return here(shown + " is too large");
    const wanted in_place_of = what_was_wanted();
    if (in_place_of == wanted::key) {
      return here("a key in double quotes is expected, not " + shown, "write " + in_quotes(token_, 32));
    }
    if (is_json_number(token_) || token_ == "true" || token_ == "false" || token_ == "null")
      return explain_unexpected();
    if (token_.find_first_of("0123456789+-.") == 0) {
      return here(shown + " is no JSON number", "digits, optionally a fraction and an exponent; no leading 0, + or 0x");
    }
    const std::string lower = lower_case(token_);
    for (const std::string_view known : {"true", "false", "null"}) {
      if (lower == known) return here(shown + " is no JSON value", "write " + std::string(known));
    }
    return here(shown + " is no JSON value", is_letter(token_[0]) ? "put text in double quotes" : "");
  }

  static bool is_json_number(std::string_view token) {
    std::size_t i = token[0] == '-' ? 1 : 0;
    const auto digits = [&] {
      const std::size_t start = i;
      while (i < token.size() && token[i] >= '0' && token[i] <= '9') ++i;
      return i - start;
    };
    const std::size_t start = i;
    const std::size_t whole = digits();
    if (whole == 0 || (whole > 1 && token[start] == '0')) return false;
    if (i < token.size() && token[i] == '.' && (++i, digits() == 0)) return false;
    if (i < token.size() && (token[i] == 'e' || token[i] == 'E')) {
      ++i;
      if (i < token.size() && (token[i] == '+' || token[i] == '-')) ++i;
      if (digits() == 0) return false;
    }
    return i == token.size();
  }

  /// A well-formed token in a wrong place.
  syntax_explanation explain_unexpected() const {
    const std::string shown = name_of(token_);
    const bool closes = token_[0] == '}' || token_[0] == ']';
    if (closes && before() == ',') {
      return {*before_, "a comma stands before the closing " + shown, "remove the comma"};
    }
    switch (what_was_wanted()) {
      case wanted::key:
        return here("a key in double quotes is expected, not " + shown,
                    token_[0] == ',' ? "is there a comma too many?" : "");
      case wanted::colon:
        return here("':' is expected after the key, not " + shown);
      case wanted::comma_or_brace:
        return here("',' or '}' is expected, not " + shown, closes ? unclosed() : "is a comma missing before it?");
      case wanted::comma_or_bracket:
        return here("',' or ']' is expected, not " + shown, closes ? unclosed() : "is a comma missing before it?");
      case wanted::value:
      case wanted::end:
        break;
    }
    return here("a value is expected, not " + shown, token_[0] == ',' ? "is there a comma too many?" : "");
  }

  std::string unclosed() const {
    return std::string("the '") + context_.open + "' at line " + std::to_string(context_.open_at.line) + ", column " +
           std::to_string(context_.open_at.column) + " is still open";
  }

  const syntax_context& context_;
  std::string_view text_;
  std::string_view token_;
  std::optional<std::size_t> before_;  // the last byte before the token that is no white space
};

}  // namespace

syntax_explanation explain_syntax_error(const syntax_context& context) { return explainer(context).explain(); }

bool is_punctuation(char c) noexcept { return c == '{' || c == '}' || c == '[' || c == ']' || c == ',' || c == ':'; }

std::size_t token_end(std::string_view text, std::size_t start) noexcept {
  if (start >= text.size()) return text.size();
  if (is_punctuation(text[start])) return start + 1;
  std::size_t i = start;
  if (text[i] == '"') {
    for (++i; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == '"') {
        return i + 1;
      }
    }
    return text.size();
  }
  while (i < text.size() && !is_space(text[i]) && !is_punctuation(text[i]) && text[i] != '"') ++i;
  return i;
}

std::size_t skip_space(std::string_view text, std::size_t start) noexcept {
  std::size_t i = start;
  while (i < text.size() && is_space(text[i])) ++i;
  return i;
}

}  // namespace rtd::config
