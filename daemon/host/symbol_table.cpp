#include "daemon/host/symbol_table.h"

#include <elf.h>
#include <sched.h>

#include <algorithm>

#include "runtime/task/exception_text.h"

namespace rtd::host {

symbol_table::symbol_table(const elf_file& file, std::string module) : module_(std::move(module)) {
  std::vector<elf_file::symbol> symbols = file.symbols();
  std::erase_if(symbols, [](const elf_file::symbol& one) { return one.type == STT_TLS || one.size == 0; });
  // Several names for one function are usual (C1 and C2 of a constructor); one is enough.
  std::sort(symbols.begin(), symbols.end(),
            [](const auto& a, const auto& b) { return a.value != b.value ? a.value < b.value : a.name < b.name; });
  auto same_place = [](const auto& a, const auto& b) { return a.value == b.value; };
  symbols.erase(std::unique(symbols.begin(), symbols.end(), same_place), symbols.end());
  if (symbols.size() > most_symbols) symbols.resize(most_symbols);

  bool readable = symbols.size() <= most_demangled;
  functions_.reserve(symbols.size());
  for (const elf_file::symbol& one : symbols) {
    std::string name = readable ? rt::detail::demangled(one.name.c_str()) : one.name;
    auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>(one.size, UINT32_MAX));
    functions_.push_back({one.value, size, static_cast<std::uint32_t>(names_.size())});
    names_.append(name);
    names_.push_back('\0');
  }
  names_.shrink_to_fit();
}

bool symbol_table::is_of(const char* module) const noexcept {
  const char* own = module_.c_str();
  while (*own != '\0' && *own == *module) {
    ++own;
    ++module;
  }
  return *own == *module;
}

symbol_table::match symbol_table::find(std::uint64_t place) const noexcept {
  std::size_t low = 0;
  std::size_t high = functions_.size();
  while (low < high) {
    std::size_t middle = low + (high - low) / 2;
    if (functions_[middle].place <= place) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return {};
  const function& one = functions_[low - 1];
  if (place - one.place >= one.size) return {};
  return {names_.c_str() + one.name, place - one.place};
}

const symbol_table* symbol_tables::publish(std::unique_ptr<const symbol_table> table) noexcept {
  for (auto& slot : slots_) {
    const symbol_table* empty = nullptr;
    if (slot.compare_exchange_strong(empty, table.get())) return table.release();
  }
  return nullptr;
}

void symbol_tables::retract(const symbol_table* table) noexcept {
  if (table == nullptr) return;
  for (auto& slot : slots_) {
    const symbol_table* expected = table;
    if (slot.compare_exchange_strong(expected, nullptr)) break;
  }
  while (readers_.load() != 0 && !crashing_.load()) sched_yield();
  if (!crashing_.load()) delete table;
}

symbol_table::match symbol_tables::find(const char* module, std::uint64_t place) const noexcept {
  for (const auto& slot : slots_) {
    const symbol_table* table = slot.load();
    if (table != nullptr && table->is_of(module)) return table->find(place);
  }
  return {};
}

symbol_tables& crash_symbols() noexcept {
  static constinit symbol_tables tables;
  return tables;
}

}  // namespace rtd::host
