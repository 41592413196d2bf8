#include "daemon/host/code_places.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/host/crash_names.h"
#include "daemon/host/symbol_table.h"
#include "runtime/task/exception_text.h"

namespace rtd::host {

namespace {

// The note of a segment that the linker has written a hash of the file into.
std::string build_id_in(const char* notes, std::size_t size) {
  constexpr std::size_t alignment = 4;
  const auto padded = [](std::size_t length) { return (length + alignment - 1) / alignment * alignment; };
  for (std::size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) head;
    std::memcpy(&head, notes + at, sizeof head);
    const std::size_t name = at + sizeof head;
    const std::size_t content = name + padded(head.n_namesz);
    if (content > size || head.n_descsz > size - content) break;
    if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && std::memcmp(notes + name, ELF_NOTE_GNU, 4) == 0) {
      static constexpr char digits[] = "0123456789abcdef";
      std::string text;
      for (std::size_t i = 0; i < head.n_descsz; ++i) {
        const auto byte = static_cast<unsigned char>(notes[content + i]);
        text += digits[byte >> 4];
        text += digits[byte & 15];
      }
      return text;
    }
    at = content + padded(head.n_descsz);
  }
  return {};
}

struct search {
  std::span<const std::uint64_t> addresses;  // sorted
  code_places found;
  bool is_first = true;
};

// The race by name: *profile against unload*. A module's headers, its notes and its table of exported symbols are read
// where they are mapped. That is while the loader holds the lock of its list, which a module leaves before it is
// unmapped. The names that the host has of a plugin are kept by begin_reading (symbol_table.h).
void look_at(const dl_phdr_info& module, search& of) {
  const bool is_program = std::exchange(of.is_first, false);
  code_module described;
  if (is_program) {
    if (const auto* name = reinterpret_cast<const char*>(getauxval(AT_EXECFN)); name != nullptr) described.file = name;
  } else {
    described.file = module.dlpi_name;
  }
  for (const ElfW(Phdr) & segment : std::span(module.dlpi_phdr, module.dlpi_phnum)) {
    if (segment.p_type != PT_NOTE || !described.build_id.empty()) continue;
    described.build_id =
        build_id_in(reinterpret_cast<const char*>(module.dlpi_addr + segment.p_vaddr), segment.p_memsz);
  }
  for (const ElfW(Phdr) & segment : std::span(module.dlpi_phdr, module.dlpi_phnum)) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    described.start = module.dlpi_addr + segment.p_vaddr;
    described.limit = described.start + segment.p_memsz;
    described.offset = segment.p_offset;
    auto next = std::lower_bound(of.addresses.begin(), of.addresses.end(), described.start);
    const bool is_wanted = next != of.addresses.end() && *next < described.limit;
    if (!is_wanted && !is_program) continue;
    for (; next != of.addresses.end() && *next < described.limit; ++next) {
      const code_place place = describe_code(*next);
      code_places::place& told = of.found.at[*next];
      told.module = of.found.modules.size();
      if (place.function != nullptr) told.function = rt::detail::demangled(place.function);
    }
    of.found.modules.push_back(described);
  }
}

}  // namespace

code_places find_code_places(std::span<const std::uint64_t> addresses) {
  std::vector<std::uint64_t> sorted(addresses.begin(), addresses.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  search of{sorted, {}};
  for (const std::uint64_t one : sorted) of.found.at.try_emplace(one);
  struct reading {
    reading() noexcept { crash_symbols().begin_reading(); }
    ~reading() { crash_symbols().end_reading(); }
  } const during;
  dl_iterate_phdr(
      [](dl_phdr_info* module, std::size_t, void* to) {
        look_at(*module, *static_cast<search*>(to));
        return 0;
      },
      &of);
  return std::move(of.found);
}

}  // namespace rtd::host
