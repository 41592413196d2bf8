// Profiles as files for pprof: the writer by a reader of its own, and the addresses of this program.
#include <elf.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/host/code_places.h"
#include "daemon/host/pprof_writer.h"
#include "daemon/host/profiles.h"

namespace {

using namespace rtd::host;

// A message of protocol buffers: the values of each field, numbers apart from pieces of bytes.
struct message {
  std::map<int, std::vector<std::uint64_t>> numbers;
  std::map<int, std::vector<std::string>> pieces;

  explicit message(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::uint64_t head = take_number(bytes);
      const int field = static_cast<int>(head >> 3);
      if ((head & 7) == 0) {
        numbers[field].push_back(take_number(bytes));
      } else {
        EXPECT_EQ(head & 7, 2U) << "a kind of value that the format has not";
        const std::uint64_t size = take_number(bytes);
        EXPECT_LE(size, bytes.size());
        pieces[field].emplace_back(bytes.substr(0, size));
        bytes.remove_prefix(std::min<std::size_t>(size, bytes.size()));
      }
    }
  }
  static std::uint64_t take_number(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (int shift = 0; !bytes.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= std::uint64_t{byte & 127U} << shift;
      if (byte < 128) break;
    }
    return value;
  }
  static std::vector<std::uint64_t> packed(std::string_view bytes) {
    std::vector<std::uint64_t> values;
    while (!bytes.empty()) values.push_back(take_number(bytes));
    return values;
  }
  std::uint64_t number(int field) const {
    const auto found = numbers.find(field);
    return found == numbers.end() ? 0 : found->second.at(0);
  }
  std::vector<message> messages(int field) const {
    std::vector<message> found;
    if (const auto all = pieces.find(field); all != pieces.end()) {
      for (const std::string& one : all->second) found.emplace_back(one);
    }
    return found;
  }
};

// A profile, read: names in place of numbers.
struct profile {
  explicit profile(std::string_view bytes) : whole(bytes) {
    for (const message& one : whole.messages(5)) functions[one.number(1)] = text(one.number(2));
    for (const message& one : whole.messages(4)) locations.emplace(one.number(1), one);
  }
  std::string text(std::uint64_t number) const { return whole.pieces.at(6).at(number); }
  std::string value_type(const message& one) const { return text(one.number(1)) + "/" + text(one.number(2)); }
  std::vector<std::string> stack(const message& sample) const {
    std::vector<std::string> names;
    for (const std::uint64_t id : message::packed(sample.pieces.at(1).at(0))) {
      const std::vector<message> lines = locations.at(id).messages(4);
      names.push_back(lines.empty() ? "?" : functions.at(lines.at(0).number(1)));
    }
    return names;
  }
  std::map<std::string, std::string> labels(const message& sample) const {
    std::map<std::string, std::string> found;
    for (const message& one : sample.messages(3)) found[text(one.number(1))] = text(one.number(2));
    return found;
  }

  message whole;
  std::map<std::uint64_t, std::string> functions;
  std::map<std::uint64_t, message> locations;
};

TEST(pprof, has_all_that_was_added_once) {
  const pprof_writer::value_type values[] = {{"contentions", "count"}, {"delay", "nanoseconds"}};
  pprof_writer writer(values, {"contentions", "count"}, 7);
  const std::uint64_t program = writer.add_mapping({0x1000, 0x9000, 0x40, "/bin/program", "abcd", true});
  const std::uint64_t plugin = writer.add_mapping({0xffff'ffff'0000'0000, 0xffff'ffff'ffff'ffff, 0, "p.so", "", false});
  const std::uint64_t inner = writer.location(0x1234, program, "inner()");
  const std::uint64_t outer = writer.location(0xffff'ffff'0000'0010, plugin, "outer()");
  EXPECT_EQ(writer.location(0x1234, program, "inner()"), inner);
  const std::uint64_t again = writer.location(0x1238, program, "inner()");
  const std::uint64_t nameless = writer.location(0, 0, "");
  const std::uint64_t stack[] = {inner, outer, nameless};
  const std::int64_t figures[] = {3, INT64_MAX};
  const pprof_writer::label labels[] = {{"task", "t"}, {"sandbox", "default"}};
  writer.add_sample(stack, figures, labels);
  writer.add_sample({&again, 1}, figures, {});
  const profile read(writer.finish(std::chrono::system_clock::time_point(std::chrono::seconds(5))));

  EXPECT_EQ(read.text(0), "");
  const std::vector<message> types = read.whole.messages(1);
  ASSERT_EQ(types.size(), 2U);
  EXPECT_EQ(read.value_type(types[0]), "contentions/count");
  EXPECT_EQ(read.value_type(types[1]), "delay/nanoseconds");
  EXPECT_EQ(read.value_type(read.whole.messages(11).at(0)), "contentions/count");
  EXPECT_EQ(read.whole.number(12), 7U);
  EXPECT_EQ(read.whole.number(9), 5'000'000'000U);
  const std::vector<message> mappings = read.whole.messages(3);
  ASSERT_EQ(mappings.size(), 2U);
  EXPECT_EQ(mappings[0].number(1), program);
  EXPECT_EQ(mappings[0].number(2), 0x1000U);
  EXPECT_EQ(mappings[0].number(3), 0x9000U);
  EXPECT_EQ(mappings[0].number(4), 0x40U);
  EXPECT_EQ(read.text(mappings[0].number(5)), "/bin/program");
  EXPECT_EQ(read.text(mappings[0].number(6)), "abcd");
  EXPECT_EQ(mappings[0].number(7), 1U);
  EXPECT_EQ(mappings[1].number(2), 0xffff'ffff'0000'0000U);
  EXPECT_EQ(mappings[1].number(7), 0U);
  const std::vector<message> samples = read.whole.messages(2);
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(read.stack(samples[0]), (std::vector<std::string>{"inner()", "outer()", "?"}));
  EXPECT_EQ(message::packed(samples[0].pieces.at(2).at(0)), (std::vector<std::uint64_t>{3, INT64_MAX}));
  EXPECT_EQ(read.labels(samples[0]), (std::map<std::string, std::string>{{"sandbox", "default"}, {"task", "t"}}));
  EXPECT_EQ(read.functions.size(), 2U);
  EXPECT_EQ(read.locations.size(), 4U);
  EXPECT_EQ(read.locations.at(outer).number(2), plugin);
  EXPECT_EQ(read.locations.at(outer).number(3), 0xffff'ffff'0000'0010U);
}

std::uint64_t address_of(void (*function)()) { return reinterpret_cast<std::uintptr_t>(function); }

TEST(pprof, finds_modules_with_their_build_ids_and_exported_functions) {
  const std::uint64_t in_libc = reinterpret_cast<std::uintptr_t>(&std::free);
  const std::uint64_t here = address_of([] {});
  const std::uint64_t addresses[] = {in_libc, 1, here, in_libc};
  const code_places found = find_code_places(addresses);
  EXPECT_EQ(found.at.size(), 3U);
  EXPECT_EQ(found.at.at(1).module, code_places::no_module);
  ASSERT_EQ(found.at.at(here).module, 0U) << "the program comes first";
  const code_module& program = found.modules[0];
  EXPECT_TRUE(program.file.ends_with("host_test")) << program.file;
  EXPECT_LE(program.start, here);
  EXPECT_GT(program.limit, here);
  EXPECT_EQ(program.build_id.size() % 2, 0U);
  EXPECT_GE(program.build_id.size(), 16U);
  EXPECT_EQ(program.build_id.find_first_not_of("0123456789abcdef"), std::string::npos);
}

std::string uncompressed(const std::string& file) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);  // gzip's head
  std::string text(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));
  stream.avail_in = static_cast<uInt>(file.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

TEST(pprof, knows_functions_of_the_runtime) {
  for (const char* function :
       {"rt::gc()", "rt::detail::allocate(unsigned long, unsigned long, rt::detail::span_kind)",
        "node* rt::make<node>()", "(anonymous namespace)::item* rt::make<(anonymous namespace)::item>()",
        "std::vector<int, long>* rt::make<std::vector<int, long> >()"}) {
    EXPECT_TRUE(is_of_the_runtime(function)) << function;
  }
  for (const char* function :
       {"", "main", "start(rt::task&)", "(anonymous namespace)::chain_of(rt::task&)", "port::open()",
        "insert<int, rt::ref<node> >(rt::ref<node>)", "void keep<rt::string>(int, rt::string)", "mart::of()"}) {
    EXPECT_FALSE(is_of_the_runtime(function)) << function;
  }
}

TEST(pprof, of_the_heap_has_gos_values_and_all_labels) {
  rt::heap_record one;
  one.allocated_objects = 10.4;
  one.allocated_bytes = 1000.6;
  one.in_use_objects = 2;
  one.in_use_bytes = 200;
  one.task = "cache";
  one.frames = {reinterpret_cast<void*>(address_of([] {}) + 1)};
  rt::heap_record rest;
  rest.allocated_objects = 1;
  rest.allocated_bytes = 16;
  rt::heap_record other = one;
  other.task = "gone";
  const std::vector<rt::heap_record> records{one, rest, other};
  const profile_labels labels{"default", {{"cache", "kvcache"}}};
  const profile all(uncompressed(heap_profile_file(records, "", 524288, labels)));
  std::vector<std::string> types;
  for (const message& type : all.whole.messages(1)) types.push_back(all.value_type(type));
  EXPECT_EQ(types, (std::vector<std::string>{"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count",
                                             "inuse_space/bytes"}));
  EXPECT_EQ(all.value_type(all.whole.messages(11).at(0)), "space/bytes");
  EXPECT_EQ(all.whole.number(12), 524288U);
  const std::vector<message> samples = all.whole.messages(2);
  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(message::packed(samples[0].pieces.at(2).at(0)), (std::vector<std::uint64_t>{10, 1001, 2, 200}));
  EXPECT_EQ(all.labels(samples[0]),
            (std::map<std::string, std::string>{{"sandbox", "default"}, {"task", "cache"}, {"plugin", "kvcache"}}));
  EXPECT_EQ(all.labels(samples[1]), (std::map<std::string, std::string>{{"sandbox", "default"}}));
  EXPECT_EQ(all.labels(samples[2]), (std::map<std::string, std::string>{{"sandbox", "default"}, {"task", "gone"}}));
  EXPECT_EQ(all.stack(samples[1]), std::vector<std::string>{"[stacks beyond those that are told apart]"});

  const profile of_one(uncompressed(heap_profile_file(records, "cache", 524288, labels)));
  EXPECT_EQ(of_one.whole.messages(2).size(), 1U);
}

}  // namespace
