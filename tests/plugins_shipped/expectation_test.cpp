#include "plugins/prober/expectation.h"

#include <gtest/gtest.h>
#include <rt/task.h>

namespace {

using prober::status_set;

TEST(expectation_test, codes_classes_and_ranges) {
  status_set set({"2xx", "304", "400-403", "5XX"});
  for (int status : {200, 204, 299, 304, 400, 403, 500, 599}) EXPECT_TRUE(set.contains(status)) << status;
  for (int status : {0, 100, 199, 300, 303, 305, 399, 404, 499, 600}) EXPECT_FALSE(set.contains(status)) << status;
  EXPECT_EQ(set.text(), "2xx, 304, 400-403, 5XX");
}

TEST(expectation_test, refusals) {
  for (const char* text : {"", "2", "20", "2000", "6xx", "0xx", "2x", "xxx", "099", "600", "200-", "-200", "300-200",
                           " 200", "200,204", "2xx-3xx", "200-20", "+20", "20x"}) {
    try {
      status_set set({"200", text});
      ADD_FAILURE() << text;
    } catch (const rt::bad_parameter& error) {
      std::string said = error.what();
      EXPECT_EQ(
          said.find("parameter \"expect_status\" has \"" + std::string(text) + "\", which is no status code; write"),
          0U)
          << said;
    }
  }
  EXPECT_THROW(status_set({}), rt::bad_parameter);
}

}  // namespace
