#include "daemon/ctl/table.h"

#include <gtest/gtest.h>

namespace rtd::ctl {
namespace {

table example() {
  table rows({{"NAME"}, {"GREEN", side::right}, {"STATUS", side::left, true}});
  rows.add({"greeter", "1001", "1000 connections"});
  rows.add({"例え", "7", ""});
  return rows;
}

TEST(Table, AlignsByDisplayWidth) {
  EXPECT_EQ(example().render({}),
            "NAME     GREEN  STATUS\n"
            "greeter   1001  1000 connections\n"
            "例え         7  -\n");
}

TEST(Table, CanLeaveTitlesOut) {
  table rows({{"A VERY LONG TITLE"}, {"B"}});
  rows.add({"x", "y"});
  EXPECT_EQ(rows.render({.headers = false}), "x  y\n");
}

TEST(Table, CutsTheColumnThatMayBeCut) {
  EXPECT_EQ(example().render({.max_width = 26}),
            "NAME     GREEN  STATUS\n"
            "greeter   1001  1000 conn…\n"
            "例え         7  -\n");
}

TEST(Table, LeavesTheOtherColumnsWhole) {
  EXPECT_EQ(example().render({.max_width = 5}),
            "NAME     GREEN  STATUS\n"
            "greeter   1001  1000 co…\n"
            "例え         7  -\n")
      << "a line that is too long is better than one that says nothing";
}

TEST(Table, MakesCellsSafe) {
  table rows({{"A"}, {"B"}});
  rows.add({"x\x1b[2J\ny", "z"});
  EXPECT_EQ(rows.render({.headers = false}), "x\\x1b[2J\\ny  z\n");
}

TEST(Table, ColoursDoNotMoveColumns) {
  table rows({{"STATE"}, {"N"}});
  rows.add({{"up", tone::good}, "1"});
  EXPECT_EQ(rows.render({.colour = true}),
            "\x1b[1mSTATE\x1b[0m  \x1b[1mN\x1b[0m\n"
            "\x1b[32mup\x1b[0m     1\n");
}

TEST(Table, FillsShortRows) {
  table rows({{"A"}, {"B"}, {"C"}});
  EXPECT_TRUE(rows.empty());
  rows.add({"x"});
  EXPECT_FALSE(rows.empty());
  EXPECT_EQ(rows.render({.headers = false}), "x  -  -\n");
}

}  // namespace
}  // namespace rtd::ctl
