// Reading a shared object's headers, notes and symbols from its file, before the loader is allowed near it.
//
// The file is a stranger's: every offset and length in it is checked against the file's size before it is used, sizes
// have caps, and nothing is mapped (a mapping of a file that shrinks meanwhile would fault).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rtd::host {

class elf_file {
 public:
  struct segment {
    std::uint32_t type = 0;
    std::uint32_t flags = 0;
    std::uint64_t offset = 0;
    std::uint64_t address = 0;
    std::uint64_t file_size = 0;
    std::uint64_t memory_size = 0;
    std::uint64_t align = 0;
  };
  struct symbol {
    std::string name;
    std::uint64_t value = 0;
    std::uint64_t size = 0;
    unsigned char type = 0;  // STT_FUNC, STT_TLS, …
  };

  /// Opens and checks the file: regular, ELF, 64 bit, little-endian, this machine's, a shared object (or position
  /// independent executable), and not truncated. @throws request_error plugin_not_found, plugin_not_elf, and
  /// plugin_load_failed when it cannot be opened or read.
  explicit elf_file(std::string path);
  ~elf_file();
  elf_file(const elf_file&) = delete;
  elf_file& operator=(const elf_file&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }
  const std::vector<segment>& segments() const noexcept { return segments_; }

  /// Bytes of the file. @throws request_error plugin_not_elf when they lie outside of it.
  std::vector<unsigned char> read(std::uint64_t offset, std::uint64_t length) const;

  /// The defined symbols: of the full table, or, in a stripped file, of the dynamic one. Empty when the tables are
  /// missing, damaged or larger than a sane plugin's (64 MiB).
  std::vector<symbol> symbols() const;

 private:
  void read_header();
  [[noreturn]] void refuse(const std::string& why) const;
  std::vector<symbol> read_symbols() const;

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t section_offset_ = 0;
  std::uint32_t section_count_ = 0;
  std::vector<segment> segments_;
};

}  // namespace rtd::host
