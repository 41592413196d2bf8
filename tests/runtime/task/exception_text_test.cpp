#include "runtime/task/exception_text.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace {

using rt::detail::exception_text;

namespace shop {
struct out_of_stock : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct says_nothing : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
struct no_exception {};
}  // namespace shop

template <class T>
std::string text_of(T thrown) {
  return exception_text(std::make_exception_ptr(thrown));
}

TEST(exception_text, names_the_type_and_what_it_says) {
  EXPECT_EQ(text_of(std::runtime_error("no luck")), "std::runtime_error: no luck");
  EXPECT_EQ(text_of(shop::out_of_stock("tea")), "(anonymous namespace)::shop::out_of_stock: tea");
}

TEST(exception_text, copes_with_everything_that_can_be_thrown) {
  EXPECT_EQ(text_of(5), "an exception of type int");
  EXPECT_EQ(text_of(std::string("text")), "std::string: text");
  EXPECT_EQ(text_of(static_cast<const char*>("text")), "const char*: text");
  EXPECT_EQ(text_of(static_cast<const char*>(nullptr)), "const char*: null");
  EXPECT_EQ(text_of(shop::no_exception{}), "an exception of type (anonymous namespace)::shop::no_exception");
  EXPECT_EQ(text_of(shop::says_nothing{}), "(anonymous namespace)::shop::says_nothing: ");
  EXPECT_EQ(exception_text(nullptr), "no exception");
}

TEST(exception_text, tells_what_is_nested) {
  auto nested = [](int levels) {
    std::exception_ptr made = std::make_exception_ptr(std::runtime_error("level 0"));
    for (int i = 1; i <= levels; ++i) {
      try {
        std::rethrow_exception(made);
      } catch (...) {
        try {
          std::throw_with_nested(std::logic_error("level " + std::to_string(i)));
        } catch (...) {
          made = std::current_exception();
        }
      }
    }
    return exception_text(made);
  };
  EXPECT_EQ(nested(2),
            "std::logic_error: level 2; caused by std::logic_error: level 1; caused by std::runtime_error: level 0");
  EXPECT_EQ(nested(1000).find("level 900"), std::string::npos);
}

TEST(exception_text, is_printable_and_bounded) {
  EXPECT_EQ(text_of(std::runtime_error("a\nb\x1b")), "std::runtime_error: a\\nb\\x1b");
  EXPECT_LE(text_of(std::runtime_error(std::string(100'000, 'x'))).size(), 4096u);
}

TEST(demangled, reads_names_of_the_compiler) {
  EXPECT_EQ(rt::detail::demangled("_ZN2rt3runEi"), "rt::run(int)");
  EXPECT_EQ(rt::detail::demangled("_ZN1a1bB5cxx11E"), "a::b");
  EXPECT_EQ(rt::detail::demangled("main"), "main");
  EXPECT_EQ(rt::detail::demangled(""), "");
}

}  // namespace
