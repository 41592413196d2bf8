#include "daemon/metrics/histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace rtd::metrics::test {

TEST(histogram, counts_into_the_first_bucket_that_holds_the_value) {
  histogram one({1, 2, 5});
  for (const double value : {0.5, 1.0, 1.5, 2.0, 4.0, 5.0, 5.1, 100.0, -3.0}) one.observe(value);
  EXPECT_EQ(one.data().counts, (std::vector<std::uint64_t>{3, 2, 2, 2}));
  EXPECT_EQ(one.data().count(), 9u);
  EXPECT_DOUBLE_EQ(one.data().sum, 116.1);
}

TEST(histogram, ignores_what_is_no_number) {
  histogram one({1});
  one.observe(std::nan(""));
  EXPECT_EQ(one.data().count(), 0u);
  EXPECT_EQ(one.data().sum, 0);
}

TEST(histogram, refuses_bounds_that_are_none) {
  EXPECT_THROW(histogram({1, 1}), std::invalid_argument);
  EXPECT_THROW(histogram({2, 1}), std::invalid_argument);
  EXPECT_THROW(histogram({1, std::numeric_limits<double>::infinity()}), std::invalid_argument);
  EXPECT_NO_THROW(histogram({}));
  EXPECT_NO_THROW(histogram{latency_bounds()});
  EXPECT_NO_THROW(histogram{duration_bounds()});
}

}  // namespace rtd::metrics::test
