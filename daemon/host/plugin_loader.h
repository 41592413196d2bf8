// Plugins: loaded, described, kept while a task of them runs, unloaded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/host/elf_file.h"
#include "daemon/host/plugin_note.h"
#include "daemon/host/symbol_table.h"
#include "rt/plugin.h"

namespace rtd::host {

struct plugin_entry {
  std::string name;
  std::string description;
  void (*function)(rt::task&) = nullptr;
};

/// A plugin in memory. Whoever may run its code holds a shared pointer to it; it is never unloaded before.
struct loaded_plugin {
  std::string name;
  std::string path;
  std::string version;
  std::string description;
  std::uint32_t abi = 0;
  std::vector<plugin_entry> entries;
  /// Its variables with thread storage: each kernel thread has its own, and a green thread changes kernel threads, so
  /// they are not what their author expects.
  std::vector<std::string> thread_locals;
  void* handle = nullptr;
  const symbol_table* symbols = nullptr;

  /// The entry of that name, or null.
  const plugin_entry* find_entry(std::string_view entry_name) const noexcept;
};

class plugin_loader {
 public:
  plugin_loader() = default;
  plugin_loader(const plugin_loader&) = delete;
  plugin_loader& operator=(const plugin_loader&) = delete;

  /// Loads the plugin `name` (empty: whatever it calls itself) from `path` (absolute); one that is loaded from there
  /// already is returned as it is. Blocks while its constructors run. Any kernel thread; loads follow one another.
  /// @throws request_error with the kinds plugin_not_found, plugin_not_elf, plugin_no_note, plugin_abi_mismatch,
  /// plugin_build_mismatch, plugin_missing_symbols, plugin_constructor_threw, plugin_name_mismatch, plugin_load_failed.
  std::shared_ptr<const loaded_plugin> load(const std::string& name, const std::string& path);

  /// Unloads it. False when the loader of the system keeps it in memory for ever (it has unique symbols). @throws
  /// request_error no_such_plugin, busy (somebody holds it).
  bool unload(std::string_view name);

  /// The loaded plugin of that name, or null. Any thread; does not wait for a load.
  std::shared_ptr<const loaded_plugin> find(std::string_view name) const;

 private:
  using file_identity = std::pair<std::uint64_t, std::uint64_t>;  // device, inode

  std::shared_ptr<const loaded_plugin> find_loaded(std::string_view name, const std::string& path) const;
  std::shared_ptr<const loaded_plugin> load_new(const elf_file& file, const plugin_note& note);

  std::mutex loading_;        // held while constructors run
  mutable std::mutex table_;  // held for moments
  std::map<std::string, std::shared_ptr<const loaded_plugin>, std::less<>> plugins_;
  std::set<file_identity> spoiled_;  // objects whose constructor threw and that cannot be unloaded; under loading_
};

/// The plugin whose constructors run on the calling kernel thread; empty text when there is none. Async-signal-safe.
const char* plugin_being_loaded() noexcept;

}  // namespace rtd::host
