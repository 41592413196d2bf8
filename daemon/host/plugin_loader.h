// Plugins: loaded, described, kept while a task of them runs, unloaded.
//
// Of one plugin several versions may be in memory: one is current, from which tasks are started; the others are on
// their way in or out (a replacement). Each has a number of its own. The loader of the system knows an object by its
// path before it looks at the file, and would give the old object for a new file of the same path; so that one is
// loaded by another spelling of it.
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

class task_table;

struct plugin_entry {
  std::string name;
  std::string description;
  void (*function)(rt::task&) = nullptr;
};

/// A plugin in memory. Whoever may run its code holds a shared pointer to it; it is never unloaded before.
struct loaded_plugin {
  std::string name;
  std::string path;
  std::string load_path;  // as the loader of the system knows it
  std::uint64_t number = 0;
  std::string version;
  std::string description;
  std::uint32_t abi = 0;
  std::pair<std::uint64_t, std::uint64_t> identity{};  // of its file: device, inode
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

  /// The same of another version beside the current one, which stays current. @throws as load, and plugin_load_failed
  /// when it is the very file that is loaded already.
  std::shared_ptr<const loaded_plugin> load_beside(const std::string& name, const std::string& path);

  /// From now on tasks are started from the version of that number. @throws request_error no_such_plugin
  void use(std::string_view name, std::uint64_t number);

  /// Unloads a version; 0: the current one. False when the loader of the system keeps it in memory for ever (it has
  /// unique symbols, or thread_local variables with destructors). @throws request_error no_such_plugin, busy (a task of
  /// it runs), referenced (with what refers to it; it stays loaded).
  bool unload(std::string_view name, std::uint64_t number, const task_table& tasks);

  /// The loaded plugin of that name, or null. Any thread; does not wait for a load.
  std::shared_ptr<const loaded_plugin> find(std::string_view name) const;

 private:
  using file_identity = std::pair<std::uint64_t, std::uint64_t>;  // device, inode

  struct opened_file {
    elf_file file;
    plugin_note note;
    opened_file(const std::string& name, const std::string& path);
  };
  std::shared_ptr<const loaded_plugin> find_loaded(std::string_view name, const std::string& path) const;
  std::shared_ptr<const loaded_plugin> load_new(const elf_file& file, const plugin_note& note);
  std::string free_spelling(const std::string& path) const;
  std::vector<std::shared_ptr<const loaded_plugin>>::iterator find_other(std::string_view name, std::uint64_t number);

  std::mutex loading_;                                                                // held while constructors run
  mutable std::mutex table_;                                                          // held for moments
  std::map<std::string, std::shared_ptr<const loaded_plugin>, std::less<>> plugins_;  // the current ones
  std::vector<std::shared_ptr<const loaded_plugin>> others_;
  std::uint64_t last_number_ = 0;     // under loading_
  std::set<file_identity> resident_;  // objects that were unloaded and are still in memory; under loading_
  std::set<file_identity> spoiled_;   // objects whose constructor threw and that cannot be unloaded; under loading_
};

/// The plugin whose constructors run on the calling kernel thread; empty text when there is none. Async-signal-safe.
const char* plugin_being_loaded() noexcept;

}  // namespace rtd::host
