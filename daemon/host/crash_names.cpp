#include "daemon/host/crash_names.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>

#include "daemon/host/symbol_table.h"

namespace rtd::host {

namespace {

const char* last_part(const char* path) noexcept {
  const char* part = path;
  for (const char* c = path; *c != '\0'; ++c) {
    if (*c == '/') part = c + 1;
  }
  return part;
}

// How many symbols a GNU hash table covers: the end of its last chain.
std::uint32_t symbol_count(const std::uint32_t* table) noexcept {
  std::uint32_t bucket_count = table[0];
  std::uint32_t first_symbol = table[1];
  std::uint32_t filter_words = table[2];
  const std::uint32_t* buckets = table + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(std::uint32_t));
  const std::uint32_t* chains = buckets + bucket_count;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < bucket_count; ++i) {
    if (buckets[i] > last) last = buckets[i];
  }
  if (last < first_symbol) return first_symbol;
  while ((chains[last - first_symbol] & 1) == 0) ++last;
  return last + 1;
}

symbol_table::match find_exported(const link_map& map, std::uintptr_t address) noexcept {
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  const std::uint32_t* hash = nullptr;
  for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
    // The loader has made these absolute, but for objects whose dynamic section it could not write to.
    std::uintptr_t place = entry->d_un.d_ptr < map.l_addr ? entry->d_un.d_ptr + map.l_addr : entry->d_un.d_ptr;
    if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(place);
    if (entry->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(place);
    if (entry->d_tag == DT_GNU_HASH) hash = reinterpret_cast<const std::uint32_t*>(place);
  }
  if (symbols == nullptr || names == nullptr || hash == nullptr) return {};
  std::uint64_t wanted = address - map.l_addr;
  std::uint32_t count = symbol_count(hash);
  for (std::uint32_t i = 0; i < count; ++i) {
    const ElfW(Sym)& one = symbols[i];
    if (one.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(one.st_info) != STT_FUNC) continue;
    if (wanted >= one.st_value && wanted - one.st_value < one.st_size) {
      return {names + one.st_name, wanted - one.st_value};
    }
  }
  return {};
}

}  // namespace

code_place describe_code(std::uintptr_t address) noexcept {
  code_place place;
  dl_find_object object{};
  if (_dl_find_object(reinterpret_cast<void*>(address), &object) != 0) return place;
  const link_map& map = *object.dlfo_link_map;
  const char* name = map.l_name == nullptr ? "" : map.l_name;
  place.module = name[0] == '\0' ? program_invocation_short_name : last_part(name);
  place.module_offset = address - map.l_addr;
  symbol_table::match match = crash_symbols().find(name, place.module_offset);
  if (match.name == nullptr) match = find_exported(map, address);
  place.function = match.name;
  place.function_offset = match.offset;
  return place;
}

}  // namespace rtd::host
