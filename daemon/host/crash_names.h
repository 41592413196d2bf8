// What lies at a code address, found without locks and without memory.
//
// dladdr would take the loader's lock, which another thread may hold for as long as a plugin's constructor runs; a
// crash meanwhile would never be reported. So the module comes from glibc's _dl_find_object, which is made for signal
// handlers; the function from our own tables (symbol_table.h) or else from the table of exported symbols that the
// loader has mapped for the module. Both are read only.
#pragma once

#include <cstdint>

namespace rtd::host {

struct code_place {
  const char* module = nullptr;  // the file's name without its folder; null: no module is there
  std::uint64_t module_offset = 0;
  const char* function = nullptr;  // null: not known
  std::uint64_t function_offset = 0;
};

/// Async-signal-safe, after crash_symbols().enter_crash() or begin_reading().
code_place describe_code(std::uintptr_t address) noexcept;

}  // namespace rtd::host
