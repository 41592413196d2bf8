#include "daemon/host/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "daemon/host/request_error.h"

namespace rtd::host {

namespace {

constexpr std::uint64_t most_symbol_bytes = 64U << 20U;
constexpr std::size_t most_symbol_name = 1024;

#if defined(__x86_64__)
constexpr std::uint16_t own_machine = EM_X86_64;
constexpr const char* own_machine_name = "x86-64";
#elif defined(__aarch64__)
constexpr std::uint16_t own_machine = EM_AARCH64;
constexpr const char* own_machine_name = "aarch64";
#else
#error "rtd runs on x86-64 and aarch64"
#endif

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    default:
      return "machine number " + std::to_string(machine);
  }
}

std::string type_name(std::uint16_t type) {
  switch (type) {
    case ET_REL:
      return "an object file";
    case ET_EXEC:
      return "an executable";
    case ET_CORE:
      return "a core dump";
    default:
      return "an ELF file of type " + std::to_string(type);
  }
}

template <class Record>
Record record_at(const std::vector<unsigned char>& bytes, std::size_t index) {
  Record record;
  std::memcpy(&record, bytes.data() + index * sizeof(Record), sizeof record);
  return record;
}

bool lies_within(std::uint64_t offset, std::uint64_t length, std::uint64_t size) noexcept {
  return offset <= size && length <= size - offset;
}

}  // namespace

elf_file::elf_file(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a named pipe must not wait for its other end.
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor_ < 0) {
    int error = errno;
    const char* kind = error == ENOENT || error == ENOTDIR ? "plugin_not_found" : "plugin_load_failed";
    throw request_error(kind, path_ + ": " + std::generic_category().message(error));
  }
  try {
    struct stat status {};
    if (fstat(descriptor_, &status) != 0) {
      throw request_error("plugin_load_failed", path_ + ": " + std::generic_category().message(errno));
    }
    if (!S_ISREG(status.st_mode)) refuse("is not a file");
    size_ = static_cast<std::uint64_t>(status.st_size);
    read_header();
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

elf_file::~elf_file() { close(descriptor_); }

void elf_file::refuse(const std::string& why) const { throw request_error("plugin_not_elf", path_ + ": " + why); }

std::vector<unsigned char> elf_file::read(std::uint64_t offset, std::uint64_t length) const {
  if (!lies_within(offset, length, size_)) {
    refuse("is truncated or damaged: " + std::to_string(length) + " bytes at " + std::to_string(offset) +
           " are wanted, but the file has " + std::to_string(size_));
  }
  std::vector<unsigned char> bytes(length);
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t count = pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw request_error("plugin_load_failed", path_ + ": " + std::generic_category().message(errno));
    if (count == 0) refuse("became shorter while it was read");
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

void elf_file::read_header() {
  std::vector<unsigned char> start = read(0, size_ < sizeof(Elf64_Ehdr) ? size_ : sizeof(Elf64_Ehdr));
  if (start.size() < SELFMAG || std::memcmp(start.data(), ELFMAG, SELFMAG) != 0) {
    refuse(start.empty() ? "is empty" : "is not an ELF file, so it is no shared object");
  }
  if (start.size() > EI_CLASS && start[EI_CLASS] == ELFCLASS32) refuse("is a 32-bit ELF file; plugins are 64-bit");
  if (start.size() < sizeof(Elf64_Ehdr)) refuse("is truncated within its ELF header");
  auto header = record_at<Elf64_Ehdr>(start, 0);
  if (header.e_ident[EI_CLASS] != ELFCLASS64) refuse("is an ELF file of an unknown class");
  if (header.e_ident[EI_DATA] != ELFDATA2LSB) refuse("is a big-endian ELF file; this host is little-endian");
  if (header.e_machine != own_machine) {
    refuse("is built for " + machine_name(header.e_machine) + ", but this host is " + own_machine_name);
  }
  if (header.e_type != ET_DYN) refuse("is " + type_name(header.e_type) + ", not a shared object; link it with -shared");
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum == PN_XNUM) {
    refuse("has no valid table of segments");
  }
  std::vector<unsigned char> table = read(header.e_phoff, std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr));
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    auto entry = record_at<Elf64_Phdr>(table, i);
    if ((entry.p_type == PT_LOAD || entry.p_type == PT_NOTE) && !lies_within(entry.p_offset, entry.p_filesz, size_)) {
      refuse("is truncated: segment " + std::to_string(i) + " needs " + std::to_string(entry.p_filesz) + " bytes at " +
             std::to_string(entry.p_offset) + ", but the file has " + std::to_string(size_));
    }
    segments_.push_back(
        {entry.p_type, entry.p_flags, entry.p_offset, entry.p_vaddr, entry.p_filesz, entry.p_memsz, entry.p_align});
  }
  // Sections are only good for names; a file without them is fine.
  if (header.e_shentsize == sizeof(Elf64_Shdr) &&
      lies_within(header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr), size_)) {
    section_offset_ = header.e_shoff;
    section_count_ = header.e_shnum;
  }
}

std::vector<elf_file::symbol> elf_file::symbols() const {
  try {
    return read_symbols();
  } catch (const request_error&) {
    return {};
  }
}

std::vector<elf_file::symbol> elf_file::read_symbols() const {
  std::vector<unsigned char> sections = read(section_offset_, std::uint64_t{section_count_} * sizeof(Elf64_Shdr));
  std::size_t chosen = section_count_;
  for (std::size_t i = 0; i < section_count_; ++i) {
    auto type = record_at<Elf64_Shdr>(sections, i).sh_type;
    if (type == SHT_SYMTAB || (type == SHT_DYNSYM && chosen == section_count_)) chosen = i;
    if (type == SHT_SYMTAB) break;
  }
  if (chosen == section_count_) return {};
  auto table = record_at<Elf64_Shdr>(sections, chosen);
  if (table.sh_entsize != sizeof(Elf64_Sym) || table.sh_link >= section_count_) return {};
  auto strings = record_at<Elf64_Shdr>(sections, table.sh_link);
  if (strings.sh_type != SHT_STRTAB || table.sh_size > most_symbol_bytes || strings.sh_size > most_symbol_bytes)
    return {};

  std::vector<unsigned char> entries = read(table.sh_offset, table.sh_size);
  std::vector<unsigned char> names = read(strings.sh_offset, strings.sh_size);
  std::vector<symbol> result;
  for (std::size_t i = 0; i < entries.size() / sizeof(Elf64_Sym); ++i) {
    auto entry = record_at<Elf64_Sym>(entries, i);
    unsigned char type = ELF64_ST_TYPE(entry.st_info);
    if (entry.st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_TLS && type != STT_GNU_IFUNC)) continue;
    if (entry.st_name >= names.size()) continue;
    const char* name = reinterpret_cast<const char*>(names.data()) + entry.st_name;
    std::size_t length = strnlen(name, std::min<std::size_t>(names.size() - entry.st_name, most_symbol_name));
    if (length == 0) continue;
    result.push_back({std::string(name, length), entry.st_value, entry.st_size, type});
  }
  return result;
}

}  // namespace rtd::host
