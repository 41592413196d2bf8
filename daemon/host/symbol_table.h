// Names of functions for crash reports, kept ready in memory: a crash handler can neither read files nor allocate.
//
// Most functions of a plugin are static or hidden, so the loader's tables do not have them; the file's full table has.
// Tables of the program and of the plugins are read when a plugin is loaded. For other modules the handler falls back
// to the loader's table, see crash_names.h.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/host/elf_file.h"

namespace rtd::host {

/// The functions of one module, sorted by their place in it. Immutable.
class symbol_table {
 public:
  static constexpr std::size_t most_symbols = 200'000;
  static constexpr std::size_t most_demangled = 20'000;  // beyond, names stay as the compiler wrote them

  /// `module`: the name by which the loader knows the file; empty for the program itself.
  symbol_table(const elf_file& file, std::string module);

  struct match {
    const char* name = nullptr;
    std::uint64_t offset = 0;
  };
  /// Async-signal-safe.
  bool is_of(const char* module) const noexcept;
  /// The function around a place, which is an address less the module's load address. Async-signal-safe.
  match find(std::uint64_t place) const noexcept;

 private:
  struct function {
    std::uint64_t place;
    std::uint32_t size;
    std::uint32_t name;
  };
  std::string module_;
  std::vector<function> functions_;
  std::string names_;
};

/// The tables that a crash handler may look into.
///
/// The race by name: *report against unload*. A handler that will go on (violation.h) says that it reads before it
/// looks at the slots; the unload empties the slot before it asks whether somebody reads, and waits. In the same way:
///
/// The race by name: *unload against crash*. A handler may be inside a table that an unload wants to free. The handler
/// first sets crashing, then reads the slots; the unload first empties the slot, then looks at crashing. Both are
/// sequentially consistent, so one of them sees the other; a table that a handler may hold is never freed.
class symbol_tables {
 public:
  static constexpr std::size_t most_tables = 256;

  constexpr symbol_tables() noexcept = default;

  /// Makes the table visible; null and nothing happens when there are most_tables already. Any thread.
  const symbol_table* publish(std::unique_ptr<const symbol_table> table) noexcept;
  /// Takes a published table away and frees it. Null is ignored. Any thread.
  void retract(const symbol_table* table) noexcept;

  /// Called by the crash handler before it looks; there is no way back. Async-signal-safe.
  void enter_crash() noexcept { crashing_.store(true); }
  /// Around a look in a handler that returns: nothing is freed meanwhile. Async-signal-safe.
  void begin_reading() noexcept { readers_.fetch_add(1); }
  void end_reading() noexcept { readers_.fetch_sub(1); }
  /// The function around a place in a module. Async-signal-safe, after enter_crash or begin_reading.
  symbol_table::match find(const char* module, std::uint64_t place) const noexcept;

 private:
  std::atomic<const symbol_table*> slots_[most_tables]{};
  std::atomic<bool> crashing_{false};
  std::atomic<int> readers_{0};
};

/// The process's tables: the crash handler needs them where nothing can be passed to it.
symbol_tables& crash_symbols() noexcept;

}  // namespace rtd::host
