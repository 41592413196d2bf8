#include "daemon/supervisor/backoff.h"

#include <gtest/gtest.h>

#include "daemon/supervisor/rate_limit.h"

namespace rtd::supervisor {
namespace {

using namespace std::chrono_literals;

backoff::clock::time_point at(std::chrono::nanoseconds since) { return backoff::clock::time_point(1h + since); }

TEST(backoff, doubles_up_to_the_longest_delay_within_the_jitter) {
  backoff delays({.initial_delay = 100ms, .max_delay = 1s});
  std::chrono::nanoseconds expected = 100ms;
  for (int i = 0; i < 100; ++i) {
    const auto delay = delays.next(at(i * 1s), 1s);
    ASSERT_TRUE(delay);
    EXPECT_GE(*delay, expected * 8 / 10) << i;
    EXPECT_LE(*delay, std::min<std::chrono::nanoseconds>(1s, expected * 12 / 10)) << i;
    expected = std::min<std::chrono::nanoseconds>(1s, expected * 2);
  }
}

TEST(backoff, begins_anew_after_a_stable_run) {
  backoff delays({.initial_delay = 100ms, .max_delay = 30s});
  for (int i = 0; i < 8; ++i) delays.next(at(i * 1s), 0s);
  EXPECT_GT(*delays.next(at(9s), 9s), 1s);
  EXPECT_LE(*delays.next(at(20s), 10s), 120ms);
}

TEST(backoff, stable_is_what_the_settings_say) {
  backoff delays({.initial_delay = 100ms, .max_delay = 30s, .stable_after = 1min});
  for (int i = 0; i < 8; ++i) delays.next(at(i * 1s), 59s);
  EXPECT_GT(*delays.next(at(9s), 59s), 1s);
  EXPECT_LE(*delays.next(at(20s), 1min), 120ms);
}

TEST(backoff, gives_up_within_the_window_only) {
  backoff delays({.initial_delay = 1ms, .max_delay = 1ms, .max_restarts = 3, .window = 60s});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(delays.next(at(i * 10s), 0s));
  EXPECT_FALSE(delays.next(at(59s), 0s));
  EXPECT_TRUE(delays.next(at(60s), 0s)) << "the first has left the window";
  delays.reset();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(delays.next(at(61s), 0s));
  EXPECT_FALSE(delays.next(at(61s), 0s));
}

TEST(backoff, survives_a_very_long_row) {
  backoff delays({.initial_delay = 100ms, .max_delay = 30s});
  for (int i = 0; i < 10'000; ++i) {
    const auto delay = delays.next(at(i * 1s), 0s);
    ASSERT_TRUE(delay);
    ASSERT_GT(*delay, 0ns);
    ASSERT_LE(*delay, 30s);
  }
}

TEST(rate_limit, lets_a_burst_pass_and_then_the_rate) {
  rate_limit limit(10, 5);
  int passed = 0;
  for (int i = 0; i < 100; ++i) passed += limit.take(1, at(0s)) ? 1 : 0;
  EXPECT_EQ(passed, 5);
  for (int i = 1; i <= 100; ++i) passed += limit.take(1, at(i * 50ms)) ? 1 : 0;
  EXPECT_EQ(passed, 5 + 50);
}

TEST(rate_limit, debt_tells_how_long_to_wait) {
  rate_limit limit(1000, 1000);
  EXPECT_EQ(limit.take_with_debt(1000, at(0s)), 0ns);
  EXPECT_EQ(limit.take_with_debt(500, at(0s)), 500ms);
  EXPECT_EQ(limit.take_with_debt(0, at(500ms)), 0ns);
}

}  // namespace
}  // namespace rtd::supervisor
