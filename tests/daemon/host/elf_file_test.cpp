// Reading headers, notes and symbols of files that may say anything.
#include "daemon/host/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>
#include <cstring>

#include <fstream>
#include <iterator>
#include <random>

#include "daemon/host/plugin_note.h"
#include "daemon/host/request_error.h"

namespace {

using rtd::host::elf_file;
using rtd::host::plugin_note;
using rtd::host::request_error;

std::string test_plugin(const char* name) { return std::string(TEST_PLUGIN_DIR) + "/test_" + name + ".so"; }

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A file in memory with a path.
class temporary_file {
 public:
  explicit temporary_file(const std::string& data) : descriptor_(memfd_create("test", MFD_CLOEXEC)) {
    std::size_t done = 0;
    while (done < data.size()) {
      ssize_t count = write(descriptor_, data.data() + done, data.size() - done);
      if (count <= 0) break;
      done += static_cast<std::size_t>(count);
    }
    EXPECT_EQ(done, data.size());
  }
  ~temporary_file() { close(descriptor_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// All that is read before a plugin is loaded. Empty when it went well, else the kind of the refusal.
std::string read_all(const std::string& path) {
  try {
    elf_file file(path);
    file.symbols();
    plugin_note note = rtd::host::read_plugin_note(file);
    rtd::host::check_plugin_note(note, path);
    return "";
  } catch (const request_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(path));
    return error.kind();
  }
}

TEST(elf_file, reads_a_plugin) {
  elf_file file(test_plugin("behaviour"));
  EXPECT_FALSE(file.segments().empty());
  plugin_note note = rtd::host::read_plugin_note(file);
  EXPECT_EQ(note.name, "test-behaviour");
  EXPECT_EQ(note.version, "0.1.0");
  EXPECT_EQ(note.description, "Behaves in every way that the tests need");
  bool has_entry = false;
  for (const auto& symbol : file.symbols()) has_entry |= symbol.name.find("wait_for_stop") != std::string::npos;
  EXPECT_TRUE(has_entry);
}

TEST(elf_file, reads_only_what_lies_within_the_file) {
  elf_file file(test_plugin("behaviour"));
  EXPECT_EQ(file.read(0, 4), (std::vector<unsigned char>{0x7F, 'E', 'L', 'F'}));
  EXPECT_TRUE(file.read(file.size(), 0).empty());
  EXPECT_THROW(file.read(file.size(), 1), request_error);
  EXPECT_THROW(file.read(file.size() - 1, 2), request_error);
  EXPECT_THROW(file.read(1, UINT64_MAX), request_error);
  EXPECT_THROW(file.read(UINT64_MAX, 2), request_error);
}

TEST(elf_file, an_abi_of_the_future_may_have_another_layout) {
  std::string image = contents(test_plugin("other_abi"));
  EXPECT_EQ(read_all(test_plugin("other_abi")), "plugin_abi_mismatch");
  // Its descriptor shrunk to the two numbers: they are still read.
  std::size_t at = image.find(std::string("rtd\0", 4) + std::string("\xe7\x03\0\0", 4));
  ASSERT_NE(at, std::string::npos);
  image[at - 8] = 8;
  image[at - 7] = 0;
  temporary_file file(image);
  EXPECT_EQ(read_all(file.path()), "plugin_abi_mismatch");
  image[at - 8] = 4;
  temporary_file shorter(image);
  EXPECT_EQ(read_all(shorter.path()), "plugin_no_note");
}

TEST(elf_file, a_note_that_claims_more_than_its_segment_is_none) {
  std::string image = contents(test_plugin("behaviour"));
  std::size_t at = image.find(std::string("rtd\0", 4) + std::string("\1\0\0\0", 4));
  ASSERT_NE(at, std::string::npos);
  for (unsigned char byte : {0xFF, 0x7F}) {
    std::string damaged = image;
    for (std::size_t i = at - 8; i < at - 4; ++i) damaged[i] = static_cast<char>(byte);  // the descriptor's length
    temporary_file file(damaged);
    EXPECT_EQ(read_all(file.path()), "plugin_no_note");
    damaged = image;
    for (std::size_t i = at - 12; i < at - 8; ++i) damaged[i] = static_cast<char>(byte);  // the owner's
    temporary_file other(damaged);
    EXPECT_EQ(read_all(other.path()), "plugin_no_note");
  }
}

TEST(elf_file, every_length_of_a_truncated_file_is_refused_or_whole) {
  std::string image = contents(test_plugin("no_entry"));
  std::size_t needed = 0;
  elf_file whole(test_plugin("no_entry"));
  for (const auto& segment : whole.segments()) {
    if (segment.type == PT_LOAD) needed = std::max<std::size_t>(needed, segment.offset + segment.file_size);
  }
  for (std::size_t length = 0; length < needed; length += length < 2000 ? 1 : 97) {
    temporary_file file(image.substr(0, length));
    ASSERT_EQ(read_all(file.path()), "plugin_not_elf") << length;
  }
  temporary_file file(image.substr(0, needed));  // no section headers: names are lost, nothing else
  EXPECT_EQ(read_all(file.path()), "");
}

TEST(elf_file, damaged_files_are_refused_in_order) {
  std::string image = contents(test_plugin("no_entry"));
  elf_file whole(test_plugin("no_entry"));
  // Most damage goes where the reader looks: the header, the segments, the notes, the table of sections.
  std::vector<std::pair<std::size_t, std::size_t>> places = {{0, sizeof(Elf64_Ehdr) + 20 * sizeof(Elf64_Phdr)}};
  for (const auto& segment : whole.segments()) {
    if (segment.type == PT_NOTE) places.emplace_back(segment.offset, segment.file_size);
  }
  Elf64_Ehdr header;
  std::memcpy(&header, image.data(), sizeof header);
  places.emplace_back(header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr));
  std::mt19937_64 random(11);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = image;
    for (std::uint64_t i = random() % 4 + 1; i > 0; --i) {
      auto [offset, size] = places[random() % places.size()];
      std::size_t at = offset + random() % size;
      // Values at the edges break more than random ones.
      constexpr unsigned char edges[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
      std::size_t length = std::size_t{1} << (random() % 4);
      char value = static_cast<char>(random() % 2 == 0 ? edges[random() % 5] : random() % 256);
      for (std::size_t k = at; k < at + length && k < damaged.size(); ++k) damaged[k] = value;
    }
    temporary_file file(damaged);
    refused += read_all(file.path()).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
