// Reading a task's parameters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/task/task_state.h"

namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class parameters : public testing::Test {
 protected:
  static rt::detail::task_spec spec() {
    rt::detail::task_spec result;
    result.id = "name";
    result.plugin = "plugin";
    result.entry = "serve";
    result.parameters = {{"listen", {":8080"}},
                         {"list", {"a", "b"}},
                         {"empty", {}},
                         {"count", {"42"}},
                         {"huge", {"9223372036854775808"}},
                         {"half", {"0.5"}},
                         {"yes", {"true"}},
                         {"no", {"false"}},
                         {"wait", {"1m30s"}},
                         {"strange", {"x\n\x1b"}}};
    return result;
  }

  template <class Call>
  static std::string problem(Call call) {
    try {
      call();
    } catch (const rt::bad_parameter& error) {
      return error.what();
    }
    return "";
  }

  rt::detail::task_state state_{spec(), std::make_shared<rt::detail::log_queue>(), {}};
  rt::task& task_ = state_.face();
};

TEST_F(parameters, identity) {
  EXPECT_EQ(task_.name(), "name");
  EXPECT_EQ(task_.plugin(), "plugin");
  EXPECT_EQ(task_.entry(), "serve");
}

TEST_F(parameters, texts) {
  EXPECT_EQ(task_.param("listen", "x"), ":8080");
  EXPECT_EQ(task_.param("nothing", "x"), "x");
  EXPECT_EQ(task_.required_param("listen"), ":8080");
  EXPECT_THAT(problem([&] { task_.required_param("nothing"); }), HasSubstr("\"nothing\" is missing"));
  EXPECT_THAT(problem([&] { task_.param("list", ""); }), HasSubstr("\"list\" is a list of 2 values"));
  EXPECT_THAT(problem([&] { task_.param("empty", ""); }), HasSubstr("\"empty\" is a list of 0 values"));
}

TEST_F(parameters, lists) {
  EXPECT_EQ(task_.param_list("list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(task_.param_list("listen"), (std::vector<std::string>{":8080"}));
  EXPECT_TRUE(task_.param_list("nothing").empty());
  EXPECT_TRUE(task_.param_list("empty").empty());
}

TEST_F(parameters, whole_numbers) {
  EXPECT_EQ(task_.param_int("count", 1), 42);
  EXPECT_EQ(task_.param_int("nothing", -1), -1);
  EXPECT_EQ(task_.param_int("count", 1, 42, 42), 42);
  EXPECT_THAT(problem([&] { task_.param_int("count", 1, 43); }), HasSubstr("a whole number of at least 43"));
  EXPECT_THAT(problem([&] { task_.param_int("count", 1, INT64_MIN, 41); }), HasSubstr("a whole number of at most 41"));
  EXPECT_THAT(problem([&] { task_.param_int("count", 1, 1, 9); }),
              HasSubstr("\"42\", but must be a whole number from 1 to 9"));
  for (const char* key : {"huge", "half", "listen", "wait", "yes"}) {
    EXPECT_NE(problem([&] { task_.param_int(key, 1); }), "") << key;
  }
}

TEST_F(parameters, numbers) {
  EXPECT_EQ(task_.param_double("half", 1), 0.5);
  EXPECT_EQ(task_.param_double("count", 1), 42);
  EXPECT_EQ(task_.param_double("nothing", 1.5), 1.5);
  EXPECT_THAT(problem([&] { task_.param_double("listen", 1); }), HasSubstr("must be a number"));
}

TEST_F(parameters, truth) {
  EXPECT_TRUE(task_.param_bool("yes", false));
  EXPECT_FALSE(task_.param_bool("no", true));
  EXPECT_TRUE(task_.param_bool("nothing", true));
  EXPECT_THAT(problem([&] { task_.param_bool("count", true); }), HasSubstr("must be true or false"));
}

TEST_F(parameters, durations) {
  EXPECT_EQ(task_.param_duration("wait", 1s), 90s);
  EXPECT_EQ(task_.param_duration("nothing", 1s), 1s);
  EXPECT_THAT(problem([&] { task_.param_duration("count", 1s); }), HasSubstr("a length of time"));
}

TEST_F(parameters, values_are_quoted_harmlessly) {
  EXPECT_THAT(problem([&] { task_.param_int("strange", 1); }), HasSubstr("\"x\\n\\x1b\""));
}

}  // namespace
