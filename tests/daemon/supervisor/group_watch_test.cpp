#include "daemon/supervisor/group_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtd::supervisor {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

class group_watches : public testing::Test {
 protected:
  // The limits that are told at `second`.
  std::vector<std::string> told(const sandbox::group_counts& counts, int second) {
    std::vector<std::string> found;
    texts_.clear();
    for (const group_watch::note& one : watch_.look(counts, limits_, start_ + seconds(second))) {
      found.push_back(one.limit);
      texts_ += one.text + "\n";
    }
    return found;
  }

  using keys = std::vector<std::string>;
  group_watch watch_;
  config::limit_settings limits_;
  group_watch::clock::time_point start_ = group_watch::clock::now();
  std::string texts_;
};

TEST_F(group_watches, a_limit_is_told_with_its_value_and_what_it_did) {
  limits_.threads = 100;
  limits_.cpus = 0.5;
  EXPECT_EQ(told({}, 0), keys{});
  EXPECT_EQ(told({.threads_refused = 3, .cpu_throttles = 4, .cpu_throttled_seconds = 0.3}, 2),
            (keys{"threads", "cpus"}));
  EXPECT_THAT(texts_, AllOf(HasSubstr("limits.threads (100)"), HasSubstr(" 3 threads"), HasSubstr("limits.cpus (0.5)"),
                            HasSubstr("waited 0.3 s")));
}

TEST_F(group_watches, it_is_told_once_until_there_was_silence) {
  limits_.threads = 100;
  EXPECT_EQ(told({.threads_refused = 1}, 0), keys{"threads"});
  EXPECT_EQ(told({.threads_refused = 2}, 9), keys{});
  EXPECT_EQ(told({.threads_refused = 3}, 18), keys{});  // nine seconds after the last time
  EXPECT_EQ(told({.threads_refused = 3}, 40), keys{});
  EXPECT_EQ(told({.threads_refused = 4}, 41), keys{"threads"});
}

TEST_F(group_watches, waiting_for_a_disk_is_told_when_it_is_limited_and_lasts) {
  EXPECT_EQ(told({}, 0), keys{});
  EXPECT_EQ(told({.io_waited_seconds = 2}, 2), keys{});
  limits_.io_write = 1000;
  EXPECT_EQ(told({.io_waited_seconds = 2.1}, 4), keys{});
  EXPECT_EQ(told({.io_waited_seconds = 3.6}, 6), keys{"io"});
  EXPECT_THAT(texts_, HasSubstr("waited 1.5 s of the last 2.0 s"));
}

TEST_F(group_watches, what_is_not_limited_is_counted_and_not_told) {
  EXPECT_EQ(told({.threads_refused = 1, .cpu_throttles = 2}, 0), keys{});
  EXPECT_EQ(watch_.totals()->threads_refused_total, 1U);
  EXPECT_EQ(watch_.totals()->cpu_throttles_total, 2U);
}

TEST_F(group_watches, totals_are_those_of_all_hosts) {
  EXPECT_FALSE(watch_.totals());
  told({.threads_refused = 5, .cpu_throttles = 7, .cpu_throttled_seconds = 1, .io_waited_seconds = 2}, 0);
  watch_.host_ended();
  told({.threads_refused = 2, .cpu_throttles = 1, .cpu_throttled_seconds = 0.5, .io_waited_seconds = 1}, 2);
  told({.threads_refused = 3, .cpu_throttles = 1, .cpu_throttled_seconds = 0.5, .io_waited_seconds = 1}, 4);
  EXPECT_EQ(watch_.totals()->threads_refused_total, 8U);
  EXPECT_EQ(watch_.totals()->cpu_throttles_total, 8U);
  EXPECT_DOUBLE_EQ(watch_.totals()->cpu_throttled_seconds_total, 1.5);
  EXPECT_DOUBLE_EQ(watch_.totals()->io_waited_seconds_total, 3);
}

}  // namespace
}  // namespace rtd::supervisor
