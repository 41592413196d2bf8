#include "daemon/host/plugin_loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "daemon/host/elf_file.h"
#include "daemon/host/guarded_load.h"
#include "daemon/host/plugin_note.h"
#include "daemon/host/plugin_proof.h"
#include "daemon/host/request_error.h"
#include "daemon/protocol/text.h"
#include "runtime/task/exception_text.h"
#include "runtime/task/printable_text.h"

namespace rtd::host {

namespace {

using rtd::protocol::is_identifier;

constexpr std::size_t most_entries = 256;
constexpr std::size_t most_thread_locals = 64;
constexpr std::size_t most_symbol_bytes = 256;
constexpr std::size_t most_description_bytes = 512;
constexpr std::size_t most_loader_text = 2048;

// Read by the crash handler: a name of fixed size instead of a string. At most one plugin is being loaded.
char loading_name[64];

struct loading_mark {
  explicit loading_mark(const std::string& name) noexcept {
    std::strncpy(loading_name, name.c_str(), sizeof loading_name - 1);
  }
  ~loading_mark() { loading_name[0] = '\0'; }
};

[[noreturn]] void refuse(const char* kind, const std::string& path, const std::string& why) {
  throw request_error(kind, path + ": " + why);
}

// "…: undefined symbol: _ZN2rt3fooEv" with the symbol as its author wrote it.
std::string readable_loader_text(const std::string& text) {
  constexpr std::string_view mark = "undefined symbol: ";
  std::size_t at = text.find(mark);
  if (at == std::string::npos) return rt::detail::printable_text(text, most_loader_text);
  std::string symbol = text.substr(at + mark.size());
  std::string rest;
  if (std::size_t end = symbol.find_first_of(" ,\t("); end != std::string::npos) {
    rest = symbol.substr(end);
    symbol.resize(end);
  }
  return rt::detail::printable_text(
      text.substr(0, at) + std::string(mark) + rt::detail::demangled(symbol.c_str()) + rest, most_loader_text);
}

[[noreturn]] void refuse_by_loader(const std::string& path, const std::string& text) {
  bool symbols_missing = text.find("undefined symbol") != std::string::npos ||
                         (text.find(": version `") != std::string::npos && text.find("not found") != std::string::npos);
  std::string why = "cannot be loaded: " + readable_loader_text(text);
  if (!symbols_missing) refuse("plugin_load_failed", path, why);
  refuse("plugin_missing_symbols", path,
         why +
             "; neither this host nor a library that the plugin is linked with has it: link the library, or rebuild "
             "the plugin against rtd-dev of this version");
}

std::vector<std::string> thread_locals_of(const elf_file& file) {
  std::uint64_t bytes = 0;
  for (const elf_file::segment& segment : file.segments()) {
    if (segment.type == PT_TLS) bytes += segment.memory_size;
  }
  if (bytes == 0) return {};
  std::set<std::string> names;
  for (const elf_file::symbol& one : file.symbols()) {
    // The guard is the compiler's; whoever has it has the variables that it guards.
    if (one.type != STT_TLS || one.name == "__tls_guard") continue;
    names.insert(rt::detail::printable_text(rt::detail::demangled(one.name.c_str()), most_symbol_bytes));
    if (names.size() == most_thread_locals) break;
  }
  if (names.empty()) names.insert("(" + std::to_string(bytes) + " bytes, the names are stripped)");
  return {names.begin(), names.end()};
}

// Copies what the plugin offers. Its tables are its own memory, so what they say is checked against what is sane.
std::vector<plugin_entry> entries_of(const rt::plugin_abi::descriptor& offered, const std::string& path) {
  std::vector<plugin_entry> result;
  if (offered.first_entry == nullptr || offered.first_entry == offered.end_entry) {
    refuse("plugin_load_failed", path, "offers no entry; declare one with RT_ENTRY");
  }
  auto count = static_cast<std::size_t>(offered.end_entry - offered.first_entry);
  if (offered.end_entry < offered.first_entry || count > most_entries) {
    refuse("plugin_load_failed", path,
           "its table of entries is damaged, or has more than " + std::to_string(most_entries) + " entries");
  }
  for (const rt::plugin_abi::entry* one = offered.first_entry; one != offered.end_entry; ++one) {
    if (one->name == nullptr || one->function == nullptr ||
        !is_identifier(std::string_view(one->name, strnlen(one->name, 256)))) {
      refuse("plugin_load_failed", path,
             "entry " + std::to_string(result.size() + 1) + " has no valid name or no function");
    }
    for (const plugin_entry& earlier : result) {
      if (earlier.name == one->name) {
        refuse("plugin_load_failed", path, "has two entries called \"" + earlier.name + "\"");
      }
    }
    const char* text = one->description == nullptr ? "" : one->description;
    result.push_back({one->name, rt::detail::printable_text(text, most_description_bytes), one->function});
  }
  // The linker orders the table by object file; people find names faster in order.
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

// The program's own functions are in most plugins' backtraces, so its table is read with the first plugin's.
void publish_own_symbols() {
  static std::once_flag once;
  std::call_once(once, [] {
    auto name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    if (name == nullptr) return;
    try {
      crash_symbols().publish(std::make_unique<const symbol_table>(elf_file(name), ""));
    } catch (const request_error&) {
      // The file is out of reach (a sandbox): crash reports then name the exported functions only.
    }
  });
}

const std::string& absolute(const std::string& path) {
  if (path.empty() || path.front() != '/') refuse("plugin_not_found", path, "is no absolute path");
  return path;
}

struct close_handle {
  void operator()(void* handle) const noexcept { dlclose(handle); }
};

struct retract_table {
  void operator()(const symbol_table* table) const noexcept { crash_symbols().retract(table); }
};

}  // namespace

const char* plugin_being_loaded() noexcept { return is_loading_thread() ? loading_name : ""; }

const plugin_entry* loaded_plugin::find_entry(std::string_view entry_name) const noexcept {
  for (const plugin_entry& one : entries) {
    if (one.name == entry_name) return &one;
  }
  return nullptr;
}

std::shared_ptr<const loaded_plugin> plugin_loader::find(std::string_view name) const {
  std::lock_guard guard(table_);
  auto found = plugins_.find(name);
  return found == plugins_.end() ? nullptr : found->second;
}

// The plugin of that name if it is loaded already; null if not. One from another file is in the way.
std::shared_ptr<const loaded_plugin> plugin_loader::find_loaded(std::string_view name, const std::string& path) const {
  auto known = find(name);
  if (known == nullptr || known->path == path) return known;
  refuse("plugin_load_failed", path,
         "a plugin \"" + known->name + "\" is loaded from " + known->path + "; unload it first");
}

plugin_loader::opened_file::opened_file(const std::string& name, const std::string& path)
    : file(absolute(path)), note(read_plugin_note(file)) {
  check_plugin_note(note, path);
  if (!name.empty() && note.name != name) {
    refuse(
        "plugin_name_mismatch", path,
        "calls itself \"" + note.name + "\", but is configured as \"" + name + "\"; use the same name in both places");
  }
}

std::shared_ptr<const loaded_plugin> plugin_loader::load(const std::string& name, const std::string& path) {
  std::lock_guard one_at_a_time(loading_);
  if (auto known = find_loaded(name, path)) return known;
  const opened_file opened(name, path);
  if (auto known = find_loaded(opened.note.name, path)) return known;
  std::shared_ptr<const loaded_plugin> fresh = load_new(opened.file, opened.note);
  std::lock_guard guard(table_);
  plugins_.emplace(fresh->name, fresh);
  return fresh;
}

std::shared_ptr<const loaded_plugin> plugin_loader::load_beside(const std::string& name, const std::string& path) {
  std::lock_guard one_at_a_time(loading_);
  const opened_file opened(name, path);
  std::shared_ptr<const loaded_plugin> fresh = load_new(opened.file, opened.note);
  std::lock_guard guard(table_);
  others_.push_back(fresh);
  return fresh;
}

// The path in a spelling that no loaded object has.
std::string plugin_loader::free_spelling(const std::string& path) const {
  std::lock_guard guard(table_);
  const auto is_taken = [&](const std::string& spelling) {
    const auto has_it = [&](const auto& one) { return one->load_path == spelling; };
    return std::any_of(plugins_.begin(), plugins_.end(), [&](const auto& one) { return has_it(one.second); }) ||
           std::any_of(others_.begin(), others_.end(), has_it);
  };
  std::string spelling = path;
  while (is_taken(spelling)) spelling.insert(spelling.rfind('/'), "/.");
  return spelling;
}

std::shared_ptr<const loaded_plugin> plugin_loader::load_new(const elf_file& file, const plugin_note& note) {
  publish_own_symbols();
  const std::string& path = file.path();
  struct stat status {};
  file_identity identity{};
  if (stat(path.c_str(), &status) == 0) identity = {status.st_dev, status.st_ino};
  if (resident_.contains(identity)) {
    refuse("plugin_load_failed", path,
           "was unloaded before, but the loader of the system keeps it in memory, as it was left; replace the file by "
           "a new one (move it into place instead of overwriting it) or restart the sandbox");
  }
  {
    std::lock_guard guard(table_);
    const auto is_it = [&](const auto& one) { return one->identity == identity; };
    if (std::any_of(plugins_.begin(), plugins_.end(), [&](const auto& one) { return is_it(one.second); }) ||
        std::any_of(others_.begin(), others_.end(), is_it)) {
      refuse("plugin_load_failed", path,
             "is the file that is loaded already; put the new version beside it and move it into place (mv, install) "
             "instead of overwriting the file");
    }
  }
  const std::string load_path = free_spelling(path);
  if (spoiled_.contains(identity)) {
    refuse(
        "plugin_constructor_threw", path,
        "a constructor threw when it was loaded before, and this host cannot unload it; replace the file by a new one "
        "(move it into place instead of overwriting it) or restart the sandbox");
  }

  // Before the load: a constructor may crash.
  std::unique_ptr<const symbol_table, retract_table> symbols(
      crash_symbols().publish(std::make_unique<const symbol_table>(file, load_path)));
  load_outcome outcome;
  {
    loading_mark mark(note.name);
    outcome = guarded_load(load_path);
  }
  if (outcome.constructor_threw) {
    if (outcome.still_resident) spoiled_.insert(identity);
    refuse("plugin_constructor_threw", path,
           "the constructor of a global object threw while it was loaded: " + outcome.constructor_error);
  }
  if (outcome.handle == nullptr) refuse_by_loader(path, outcome.loader_error);
  std::unique_ptr<void, close_handle> handle(outcome.handle);

  auto offered = static_cast<const rt::plugin_abi::descriptor*>(dlsym(handle.get(), "rt_plugin_v1"));
  if (offered == nullptr || offered->plugin_note == nullptr || note.name != offered->plugin_note->name) {
    refuse("plugin_load_failed", path,
           "has the note of a plugin, but does not export rt_plugin_v1; does a linker script or -fvisibility hide it?");
  }
  auto result = std::make_shared<loaded_plugin>();
  result->name = note.name;
  result->path = path;
  result->load_path = load_path;
  result->number = ++last_number_;
  result->identity = identity;
  result->version = note.version;
  result->description = note.description;
  result->abi = note.abi;
  result->entries = entries_of(*offered, path);
  result->thread_locals = thread_locals_of(file);
  result->symbols = symbols.release();
  result->handle = handle.release();
  return result;
}

std::vector<std::shared_ptr<const loaded_plugin>>::iterator plugin_loader::find_other(std::string_view name,
                                                                                      std::uint64_t number) {
  return std::find_if(others_.begin(), others_.end(),
                      [&](const auto& one) { return one->name == name && one->number == number; });
}

void plugin_loader::use(std::string_view name, std::uint64_t number) {
  std::lock_guard guard(table_);
  const auto current = plugins_.find(name);
  if (current != plugins_.end() && current->second->number == number) return;
  const auto other = find_other(name, number);
  if (other == others_.end()) {
    throw request_error("no_such_plugin",
                        "no version " + std::to_string(number) + " of plugin \"" + std::string(name) + "\" is loaded");
  }
  if (current != plugins_.end()) {
    std::swap(*other, current->second);
  } else {
    plugins_.emplace(std::string(name), *other);
    others_.erase(other);
  }
}

bool plugin_loader::unload(std::string_view name, std::uint64_t number, const task_table& tasks) {
  std::lock_guard one_at_a_time(loading_);
  std::shared_ptr<const loaded_plugin> leaving;
  bool was_current = false;
  {
    std::lock_guard guard(table_);
    const auto current = plugins_.find(name);
    was_current = current != plugins_.end() && (number == 0 || current->second->number == number);
    const auto other = find_other(name, number);
    if (!was_current && other == others_.end()) {
      throw request_error("no_such_plugin", "no plugin \"" + std::string(name) + "\" is loaded");
    }
    std::shared_ptr<const loaded_plugin>& held = was_current ? current->second : *other;
    // New holders come only through find(), which needs table_.
    if (held.use_count() > 1) {
      throw request_error("busy", "plugin \"" + std::string(name) + "\" has running tasks; stop them first");
    }
    leaving = std::move(held);
    if (was_current)
      plugins_.erase(current);
    else
      others_.erase(other);
  }
  // Nobody finds it while the proof is made.
  const unload_proof proof = prove_unused(*leaving, tasks);
  if (!proof.why_not.empty()) {
    std::lock_guard guard(table_);
    if (was_current && !proof.is_spent)
      plugins_.emplace(leaving->name, leaving);
    else
      others_.push_back(leaving);
    throw request_error("referenced", "plugin \"" + leaving->name + "\" " + leaving->version +
                                          " cannot be unloaded, since something still refers to it: " + proof.why_not);
  }
  crash_symbols().retract(leaving->symbols);
  dlclose(leaving->handle);
  forget(proof);
  void* resident = dlopen(leaving->load_path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (resident == nullptr) return true;
  dlclose(resident);
  resident_.insert(leaving->identity);
  return false;
}

}  // namespace rtd::host
