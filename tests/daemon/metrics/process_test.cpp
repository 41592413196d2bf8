#include "daemon/metrics/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <thread>
#include <vector>

namespace rtd::metrics::test {

namespace {

constexpr const char* limits =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max cpu time              unlimited            unlimited            seconds   \n"
    "Max open files            1024                 524288               files     \n"
    "Max address space         unlimited            unlimited            bytes     \n";

std::string stat_of(const std::string& name) {
  return "42 (" + name +
         ") S 1 42 42 0 -1 4194560 1500 0 3 0 250 50 0 0 20 0 7 0 1000 104857600 2560 18446744073709551615 1 1 0\n";
}

}  // namespace

TEST(parse_process, reads_the_fields) {
  const auto figures = parse_process(stat_of("rtd"), limits, 1700000000, 100, 4096);
  ASSERT_TRUE(figures);
  EXPECT_DOUBLE_EQ(figures->user_seconds, 2.5);
  EXPECT_DOUBLE_EQ(figures->system_seconds, 0.5);
  EXPECT_EQ(figures->threads, 7u);
  EXPECT_EQ(figures->virtual_bytes, 104857600u);
  EXPECT_EQ(figures->resident_bytes, 2560u * 4096);
  EXPECT_DOUBLE_EQ(figures->start_time_seconds, 1700000010);
  EXPECT_EQ(figures->max_files, 1024u);
  EXPECT_EQ(figures->max_virtual_bytes, std::nullopt);
}

TEST(parse_process, is_not_led_astray_by_the_name) {
  for (const char* name : {"a b", ") S 1 2 3", "((", "", "x) R 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9"}) {
    const auto figures = parse_process(stat_of(name), limits, 0, 100, 4096);
    ASSERT_TRUE(figures) << name;
    EXPECT_EQ(figures->threads, 7u) << name;
  }
}

TEST(parse_process, refuses_what_is_no_stat) {
  for (const std::string text :
       {"", "42", "42 (x", "42 (x) S 1 2", "42 (x) S 1 42 42 0 -1 1 1 0 3 0 a 50 0 0 20 0 7 0 1 1 1 1"}) {
    EXPECT_FALSE(parse_process(text, limits, 0, 100, 4096)) << text;
  }
  EXPECT_TRUE(parse_process(stat_of("x"), "", 0, 100, 4096)) << "limits may be unreadable";
}

TEST(read_process, tells_of_itself) {
  std::vector<int> files;
  const auto before = read_self();
  ASSERT_TRUE(before);
  for (int i = 0; i < 10; ++i) files.push_back(::open("/dev/null", O_RDONLY));
  const auto after = read_self();
  for (const int file : files) ::close(file);
  ASSERT_TRUE(after && after->open_files && before->open_files);
  EXPECT_EQ(*after->open_files, *before->open_files + 10);
  EXPECT_GE(after->threads, 1u);
  EXPECT_GT(after->resident_bytes, 1'000'000u);
  EXPECT_GE(after->virtual_bytes, after->resident_bytes);
  EXPECT_GE(after->user_seconds + after->system_seconds, before->user_seconds + before->system_seconds);
  const double now = static_cast<double>(std::time(nullptr));
  EXPECT_LE(after->start_time_seconds, now + 2);
  EXPECT_GT(after->start_time_seconds, now - 3600);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_EQ(after->max_files, limit.rlim_cur);
}

TEST(read_process, counts_open_files_exactly) {
  const auto figures = read_process(::getpid());
  ASSERT_TRUE(figures && figures->open_files);
  std::uint64_t open = 0;
  for (int descriptor = 0; descriptor < 4096; ++descriptor) open += ::fcntl(descriptor, F_GETFD) >= 0 ? 1 : 0;
  EXPECT_EQ(*figures->open_files, open);
}

TEST(read_process, a_process_that_ended_has_no_figures) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto alive = read_process(child);
  ASSERT_TRUE(alive);
  EXPECT_GE(alive->threads, 1u);  // ThreadSanitizer may have started its own in the child
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(read_process(child));
}

}  // namespace rtd::metrics::test
