// Places of keys and values, and texts that are no JSON.
#include "daemon/config/document.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/text.h"
#include "tests/daemon/config/corpus.h"

namespace rtd::config::test {
namespace {

/// The problems of a text, one a line.
std::string mistakes(std::string_view text) {
  problem_list problems;
  const bool parsed = parse_document(text, problems).has_value();
  std::string result;
  for (const problem& found : problems.take()) result += format(found, "f") + '\n';
  if (!parsed && result.empty()) result = "no document and no problem";
  return result;
}

node parse(std::string_view text) {
  problem_list problems;
  std::optional<node> root = parse_document(text, problems);
  for (const problem& found : problems.take()) ADD_FAILURE() << format(found, "f");
  return root ? *root : node{};
}

TEST(document, KnowsThePlaceOfEveryKeyAndValue) {
  const node root = parse("{\n  \"a\" : [1, -2.5e3 ,\n\t\"x\\\"]\\\\\"  ],\"b\":{\"c\"\n:\ntrue}  , \"d\":null}");
  ASSERT_EQ(root.kind, node_kind::object);
  EXPECT_EQ(root.at, (place{1, 1}));
  ASSERT_EQ(root.members.size(), 3U);
  const member& a = root.members[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.at, (place{2, 3}));
  EXPECT_EQ(a.value.at, (place{2, 9}));
  ASSERT_EQ(a.value.items.size(), 3U);
  EXPECT_EQ(a.value.items[0].at, (place{2, 10}));
  EXPECT_EQ(a.value.items[0].kind, node_kind::integer);
  EXPECT_EQ(a.value.items[1].at, (place{2, 13}));
  EXPECT_EQ(a.value.items[1].kind, node_kind::real);
  EXPECT_EQ(a.value.items[1].text, "-2.5e3");
  EXPECT_EQ(a.value.items[2].at, (place{3, 2}));
  EXPECT_EQ(a.value.items[2].text, "x\"]\\");
  const member& b = root.members[1];
  EXPECT_EQ(b.at, (place{3, 14}));
  EXPECT_EQ(b.value.at, (place{3, 18}));
  EXPECT_EQ(b.value.members[0].at, (place{3, 19}));
  EXPECT_EQ(b.value.members[0].value.at, (place{5, 1}));
  EXPECT_TRUE(b.value.members[0].value.boolean);
  EXPECT_EQ(root.members[2].value.kind, node_kind::null);
  EXPECT_EQ(root.members[2].value.at, (place{5, 14}));
}

TEST(document, CountsColumnsInCharactersNotBytes) {
  const node root = parse("{\"größe 😀\": \"日本\", \"b\": 1}");
  EXPECT_EQ(root.members[0].value.at, (place{1, 13}));
  EXPECT_EQ(root.members[1].at, (place{1, 19}));
  EXPECT_EQ(root.members[1].value.at, (place{1, 24}));
}

TEST(document, SkipsAByteOrderMarkWithoutCountingIt) {
  const node root = parse("\xef\xbb\xbf{\"a\": 1}");
  EXPECT_EQ(root.at, (place{1, 1}));
  EXPECT_EQ(root.members[0].at, (place{1, 2}));
}

TEST(document, KeepsNumbersAsTheyWereWritten) {
  const node root =
      parse("[0, -0, 9223372036854775807, 9223372036854775808, 18446744073709551616, -9223372036854775809, 1.50]");
  const auto& items = root.items;
  EXPECT_EQ(items[1].text, "-0");
  EXPECT_EQ(items[2].integer, INT64_MAX);
  EXPECT_EQ(items[3].integer, INT64_MAX);
  EXPECT_EQ(items[4].kind, node_kind::integer);
  EXPECT_EQ(items[4].integer, INT64_MAX);
  EXPECT_EQ(items[4].text, "18446744073709551616");
  EXPECT_EQ(items[5].integer, INT64_MIN);
  EXPECT_EQ(items[6].text, "1.50");
}

struct mistake {
  std::string text;
  std::string line;
};

class syntax : public testing::TestWithParam<mistake> {};

TEST_P(syntax, IsExplainedAtItsPlace) { EXPECT_EQ(mistakes(GetParam().text), GetParam().line + '\n'); }

const mistake cases[] = {
    {"", "f:1:1: the text is empty (the smallest configuration is {})"},
    {" \n ", "f:2:2: the text is empty (the smallest configuration is {})"},
    {"\xef\xbb\xbf", "f:1:1: the text is empty (the smallest configuration is {})"},
    {"{", "f:1:2: the text ends inside the object that starts at line 1, column 1 (is a '}' missing?)"},
    {"{\"a\":", "f:1:6: /a: the text ends inside the object that starts at line 1, column 1 (is a '}' missing?)"},
    {"{\"a\": [1, 2",
     "f:1:12: /a/2: the text ends inside the array that starts at line 1, column 7 (is a ']' missing?)"},
    {"{\"a", "f:1:2: the string that starts here is not closed (is a double quote missing?)"},
    {"{\"a\": {\"b\": 1,}}", "f:1:14: /a: a comma stands before the closing '}' (remove the comma)"},
    {"[1,\n]", "f:1:3: /1: a comma stands before the closing ']' (remove the comma)"},
    {"{\"a\": 1 \"b\": 2}", "f:1:9: ',' or '}' is expected, not the string \"b\" (is a comma missing before it?)"},
    {"[1 2]", "f:1:4: /1: ',' or ']' is expected, not 2 (is a comma missing before it?)"},
    {"[true false]", "f:1:7: /1: ',' or ']' is expected, not the word false (is a comma missing before it?)"},
    {"{\"a\" 1}", "f:1:6: /a: ':' is expected after the key, not 1"},
    {"{a: 1}", "f:1:2: a key in double quotes is expected, not the word a (write \"a\")"},
    {"{1: 1}", "f:1:2: a key in double quotes is expected, not 1 (write \"1\")"},
    {"{[1]: 1}", "f:1:2: a key in double quotes is expected, not '['"},
    {"{,}", "f:1:2: a key in double quotes is expected, not ',' (is there a comma too many?)"},
    {"{\"a\": 1,, \"b\": 1}", "f:1:9: a key in double quotes is expected, not ',' (is there a comma too many?)"},
    {"[1,,2]", "f:1:4: /1: a value is expected, not ',' (is there a comma too many?)"},
    {"{\"a\":}", "f:1:6: /a: a value is expected, not '}'"},
    {"{\"a\": 1]", "f:1:8: ',' or '}' is expected, not ']' (the '{' at line 1, column 1 is still open)"},
    {"{\"a\": [1}", "f:1:9: /a/1: ',' or ']' is expected, not '}' (the '[' at line 1, column 7 is still open)"},
    {"{'a': 1}", "f:1:2: single quotes mean nothing in JSON (put strings and keys in double quotes)"},
    {"{\"a\":'b'}", "f:1:6: /a: single quotes mean nothing in JSON (put strings and keys in double quotes)"},
    {"{\"a\": True}", "f:1:7: /a: the word True is no JSON value (write true)"},
    {"{\"a\": NULL}", "f:1:7: /a: the word NULL is no JSON value (write null)"},
    {"{\"a\": yes}", "f:1:7: /a: the word yes is no JSON value (put text in double quotes)"},
    {"{\"a\": tru}", "f:1:7: /a: the word tru is no JSON value (put text in double quotes)"},
    {"{\"a\": nullx}", "f:1:7: /a: the word nullx is no JSON value (put text in double quotes)"},
    {"[nullx]", "f:1:2: /0: the word nullx is no JSON value (put text in double quotes)"},
    {"[1, NaN]", "f:1:5: /1: the word NaN is no JSON value (put text in double quotes)"},
    {"nul", "f:1:1: the word nul is no JSON value (put text in double quotes)"},
    {"{\"a\": 01}",
     "f:1:7: /a: 01 is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[-]", "f:1:2: /0: - is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[+1]", "f:1:2: /0: +1 is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[.5]", "f:1:2: /0: .5 is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[1.]", "f:1:2: /0: 1. is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[1e]", "f:1:2: /0: 1e is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[0x10]",
     "f:1:2: /0: 0x10 is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[1.2.3]",
     "f:1:2: /0: 1.2.3 is no JSON number (digits, optionally a fraction and an exponent; no leading 0, + or 0x)"},
    {"[1e999]", "f:1:2: /0: 1e999 is too large"},
    {"[\"a\tb\"]", "f:1:4: /0: a string contains a control character (write it as \\t)"},
    {"[\"a\x01\"]", "f:1:4: /0: a string contains a control character (write it as \\u0001)"},
    {"[\"a\nb\"]",
     "f:1:4: /0: the line ends inside a string (is a double quote missing? A line end in a string is written \\n)"},
    {"[\"a\\qb\"]", "f:1:5: /0: a backslash and \"q\" are no escape (a backslash itself is written \\\\)"},
    {"[\"a\\\u00fcb\"]", "f:1:5: /0: a backslash and \"\u00fc\" are no escape (a backslash itself is written \\\\)"},
    {"[\"\\u12\"]", "f:1:7: /0: \\u is not followed by four hexadecimal digits (write \\u00e9, say)"},
    {"[\"\\ud800\"]",
     "f:1:9: /0: a \\u escape in this string is half of a surrogate pair (write both halves, or the character itself)"},
    {"{} // c", "f:1:4: comments are not allowed in JSON (remove the comment)"},
    {"{ /* c */ }", "f:1:3: comments are not allowed in JSON (remove the comment)"},
    {"{\n# c\n}", "f:2:1: comments are not allowed in JSON (remove the comment)"},
    {"{}\n{}", "f:2:1: '{' stands after the end of the document (a file holds one JSON object, remove the rest)"},
    {"{}}", "f:1:3: '}' stands after the end of the document (a file holds one JSON object, remove the rest)"},
    {"{} x", "f:1:4: the word x stands after the end of the document (a file holds one JSON object, remove the rest)"},
    {"{}\xef\xbb\xbf", "f:1:3: a byte order mark stands inside the text (remove it)"},
    {"\xff\xfe{\0}", "f:1:1: the text is UTF-16 or UTF-32 (save it as UTF-8)"},
    {"{\"\u00fc\": \"\xff\"}", "f:1:8: the byte 0xff is not UTF-8 (save the text as UTF-8)"},
    {std::string("{\"a\": \0}", 8), "f:1:7: /a: \\x00 is no JSON value"},
    {"{\"a\": \"x\\u0000y\"}", "f:1:7: /a: the string \"x\\x00y\" contains a NUL character (remove \\u0000)"},
};

INSTANTIATE_TEST_SUITE_P(mistakes, syntax, testing::ValuesIn(cases));

TEST(document, RefusesDuplicateKeysWhereverTheyAreAndGoesOn) {
  EXPECT_EQ(
      mistakes("{\"a\": {\"b\": 1, \"b\": 2}, \"c\": [{\"d\": 1,\n\"d\": 2}], \"a\": 3}"),
      "f:1:16: /a/b: the key \"b\" stands twice in this object; the first is at line 1, column 8 (keep one of them)\n"
      "f:2:1: /c/0/d: the key \"d\" stands twice in this object; the first is at line 1, column 32 (keep one of them)\n"
      "f:2:11: /a: the key \"a\" stands twice in this object; the first is at line 1, column 2 (keep one of them)\n");
  EXPECT_EQ(mistakes("{\"a\": {\"b\": 1}, \"c\": {\"b\": 1}, \"b\": [{\"b\": 1}, {\"b\": 2}]}"), "");
}

TEST(document, KeepsTheFirstOfDuplicateKeys) {
  problem_list problems;
  const std::optional<node> root = parse_document(R"({"a": 1, "a": {"b": [2]}, "c": 3})", problems);
  ASSERT_TRUE(root);
  ASSERT_EQ(root->members.size(), 2U);
  EXPECT_EQ(root->members[0].value.text, "1");
  EXPECT_EQ(root->members[1].name, "c");
}

TEST(document, RefusesDeepNesting) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(mistakes(nested(32)), "");
  EXPECT_NE(mistakes(nested(33)).find("f:1:33: "), std::string::npos);
  EXPECT_NE(mistakes(nested(33)).find("nested more than 32 deep"), std::string::npos);
  EXPECT_NE(mistakes(std::string(1'000'000, '[')).find("nested more than 32 deep"), std::string::npos);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_NE(mistakes(objects).find("nested more than 32 deep"), std::string::npos);
}

TEST(document, RefusesTooLargeTexts) {
  const std::string just_fits = "\"" + std::string(most_text_bytes - 2, 'x') + "\"";
  EXPECT_EQ(mistakes(just_fits), "");
  EXPECT_EQ(mistakes(just_fits + ' '), "f: the text is larger than 4 MiB (shorten it)\n");
}

TEST(document, RefusesTooManyValues) {
  std::string many = "[0";
  for (std::size_t i = 2; i < most_values; ++i) many += ",0";
  EXPECT_EQ(mistakes(many + "]"), "");
  EXPECT_NE(mistakes(many + ",0]").find("more than 100000 values"), std::string::npos);
}

TEST(document, RefusesLongKeys) {
  EXPECT_EQ(mistakes("{\"" + std::string(128, 'k') + "\": 1}"), "");
  EXPECT_NE(mistakes("{\"" + std::string(129, 'k') + "\": {\"a\": [1]}}").find("longer than 128 bytes"),
            std::string::npos);
}

TEST(document, BoundsWhatItReports) {
  std::string text = "{\"k\": 0";
  for (int i = 0; i < 30'000; ++i) text += ",\"k\": 0";
  problem_list problems;
  parse_document(text + '}', problems);
  EXPECT_TRUE(problems.full());
  const std::vector<problem> taken = problems.take();
  ASSERT_EQ(taken.size(), problem_list::most + 1);
  EXPECT_EQ(taken.back().message, "29500 further problems are not listed");
  EXPECT_TRUE(problems.empty());
}

/// The tree as the library itself would have made it.
nlohmann::json plain(const node& from) {
  switch (from.kind) {
    case node_kind::null:
      return nullptr;
    case node_kind::boolean:
      return from.boolean;
    case node_kind::integer:
    case node_kind::real:
      return nlohmann::json::parse(from.text);
    case node_kind::string:
      return from.text;
    case node_kind::array: {
      nlohmann::json result = nlohmann::json::array();
      for (const node& item : from.items) result.push_back(plain(item));
      return result;
    }
    case node_kind::object:
      break;
  }
  nlohmann::json result = nlohmann::json::object();
  for (const member& entry : from.members) result[entry.name] = plain(entry.value);
  return result;
}

/// Checks that at each place stands the first character of what is said to stand there.
void check_places(const node& from, const std::vector<std::string>& lines) {
  const auto at = [&](place where) { return lines.at(where.line - 1).substr(where.column - 1); };
  switch (from.kind) {
    case node_kind::null:
      EXPECT_EQ(at(from.at).substr(0, 4), "null");
      break;
    case node_kind::boolean:
      EXPECT_EQ(at(from.at)[0], from.boolean ? 't' : 'f');
      break;
    case node_kind::integer:
    case node_kind::real:
      EXPECT_EQ(at(from.at).substr(0, from.text.size()), from.text);
      break;
    case node_kind::string:
      EXPECT_EQ(at(from.at)[0], '"');
      break;
    case node_kind::array:
      EXPECT_EQ(at(from.at)[0], '[');
      for (const node& item : from.items) check_places(item, lines);
      break;
    case node_kind::object:
      EXPECT_EQ(at(from.at)[0], '{');
      for (const member& entry : from.members) {
        EXPECT_EQ(at(entry.at).substr(0, entry.name.size() + 2), '"' + entry.name + '"');
        check_places(entry.value, lines);
      }
  }
}

std::string random_space(std::mt19937& random) {
  static constexpr const char* spaces[] = {"", "", "", " ", "\n", "\t ", "  \n "};
  return spaces[random() % std::size(spaces)];
}

std::string random_json(std::mt19937& random, int depth) {
  static constexpr const char* scalars[] = {
      "null", "true",  "false",      "0",        "-1",      "12.5e-3", "18446744073709551616",
      "\"\"", "\"x\"", "\"a\\\"b\"", "\"\\\\\"", "\"{,:\"", "\"]\"",   "\"\\u00fc/\\/\""};
  const unsigned kind = depth == 0 ? 0 : random() % 3;
  if (kind == 0) return scalars[random() % std::size(scalars)];
  std::string result(1, kind == 1 ? '[' : '{');
  const unsigned count = random() % 4;
  for (unsigned i = 0; i < count; ++i) {
    if (i > 0) result += ',' + random_space(random);
    if (kind == 2) result += random_space(random) + "\"k" + std::to_string(i) + '"' + random_space(random) + ':';
    result += random_space(random) + random_json(random, depth - 1) + random_space(random);
  }
  return result + random_space(random) + (kind == 1 ? ']' : '}');
}

TEST(document, AgreesWithTheLibraryOnRandomTexts) {
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_space(random) + random_json(random, 6) + random_space(random);
    const node root = parse(text);
    ASSERT_EQ(plain(root), nlohmann::json::parse(text)) << text;
    std::vector<std::string> lines(1);
    for (const char c : text) {
      if (c == '\n') {
        lines.emplace_back();
      } else {
        lines.back() += c;
      }
    }
    check_places(root, lines);
    ASSERT_FALSE(HasFailure()) << text;
  }
}

/// A text with one byte changed, removed, doubled, or cut off there.
std::string damaged(std::string text, std::mt19937& random) {
  static constexpr std::string_view bytes = "{}[]\",:\\ntfu0-+.eE/ \n\t'#x\xc3\x80\xff\x01";
  const std::size_t at = random() % text.size();
  switch (random() % 4) {
    case 0:
      text[at] = bytes[random() % bytes.size()];
      break;
    case 1:
      text.erase(at, 1);
      break;
    case 2:
      text.insert(at, 1, bytes[random() % bytes.size()]);
      break;
    default:
      text.resize(at);
  }
  return text;
}

TEST(document, TakesWhatTheLibraryTakesAndExplainsTheRest) {
  std::mt19937 random(4);
  std::vector<std::string> texts;
  for (const auto& path : good_files()) texts.push_back(read(path));
  for (int i = 0; i < 20'000; ++i) {
    std::string text = i % 2 == 0 ? texts[random() % texts.size()] : random_json(random, 4);
    for (unsigned k = 0; k <= random() % 3 && !text.empty(); ++k) text = damaged(std::move(text), random);
    problem_list problems;
    const std::optional<node> root = parse_document(text, problems);
    ASSERT_EQ(root.has_value(), nlohmann::json::accept(text)) << text;
    const std::vector<problem> found = problems.take();
    ASSERT_TRUE(root.has_value() || !found.empty()) << text;
    const place end = place_counter(text).advance_to(text.size());
    for (const problem& what : found) {
      ASSERT_FALSE(what.message.empty());
      ASSERT_GE(what.line, 1) << text;
      ASSERT_LE(what.line, end.line) << text;
      ASSERT_GE(what.column, 1) << text;
      ASSERT_TRUE(what.line < end.line || what.column <= end.column) << text;
    }
  }
}

}  // namespace
}  // namespace rtd::config::test
