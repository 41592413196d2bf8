#include "daemon/host/symbol_table.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <string_view>

namespace {

using namespace rtd::host;

std::string test_plugin(const char* name) { return std::string(TEST_PLUGIN_DIR) + "/test_" + name + ".so"; }

class symbols : public testing::Test {
 protected:
  elf_file::symbol find_function(std::string_view part) const {
    for (const elf_file::symbol& one : file_.symbols()) {
      if (one.type == STT_FUNC && one.name.find(part) != std::string::npos) return one;
    }
    ADD_FAILURE() << "no function " << part;
    return {};
  }

  elf_file file_{test_plugin("behaviour")};
};

TEST_F(symbols, finds_static_functions_by_their_readable_names) {
  symbol_table table(file_, "/x/plugin.so");
  elf_file::symbol function = find_function("null_dereference");
  symbol_table::match match = table.find(function.value);
  EXPECT_STREQ(match.name, "null_dereference(rt::task&)");
  EXPECT_EQ(match.offset, 0u);
  match = table.find(function.value + function.size - 1);
  EXPECT_STREQ(match.name, "null_dereference(rt::task&)");
  EXPECT_EQ(match.offset, function.size - 1);
  EXPECT_EQ(table.find(0).name, nullptr);
  EXPECT_EQ(table.find(UINT64_MAX).name, nullptr);
}

TEST_F(symbols, are_found_by_the_name_of_their_module) {
  symbol_tables tables;
  elf_file::symbol function = find_function("null_dereference");
  const symbol_table* table = tables.publish(std::make_unique<const symbol_table>(file_, "/x/plugin.so"));
  ASSERT_NE(table, nullptr);
  EXPECT_NE(tables.find("/x/plugin.so", function.value).name, nullptr);
  for (const char* other : {"", "/x/plugin", "/x/plugin.so.1", "plugin.so"}) {
    EXPECT_EQ(tables.find(other, function.value).name, nullptr) << other;
  }
  tables.retract(table);
  EXPECT_EQ(tables.find("/x/plugin.so", function.value).name, nullptr);
  tables.retract(nullptr);
}

TEST_F(symbols, have_room_for_so_many_tables) {
  symbol_tables tables;
  elf_file small(test_plugin("no_entry"));
  std::vector<const symbol_table*> published;
  for (std::size_t i = 0; i < symbol_tables::most_tables; ++i) {
    published.push_back(tables.publish(std::make_unique<const symbol_table>(small, std::to_string(i))));
    ASSERT_NE(published.back(), nullptr);
  }
  EXPECT_EQ(tables.publish(std::make_unique<const symbol_table>(small, "one more")), nullptr);
  tables.retract(published.back());
  published.back() = tables.publish(std::make_unique<const symbol_table>(small, "one more"));
  EXPECT_NE(published.back(), nullptr);
  for (const symbol_table* table : published) tables.retract(table);
}

TEST_F(symbols, that_a_crash_may_be_reading_are_kept) {
  symbol_tables tables;
  elf_file::symbol function = find_function("null_dereference");
  const symbol_table* table = tables.publish(std::make_unique<const symbol_table>(file_, "p"));
  tables.enter_crash();
  tables.retract(table);
  EXPECT_NE(table->find(function.value).name, nullptr);  // still there, though nobody finds it any more
  EXPECT_EQ(tables.find("p", function.value).name, nullptr);
  delete table;
}

}  // namespace
