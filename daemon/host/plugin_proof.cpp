#include "daemon/host/plugin_proof.h"
#include "daemon/host/hexadecimal.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <optional>
#include <thread>

#include "rt/runtime.h"
#include "runtime/gc/code_references.h"
#include "runtime/gc/excluded_roots.h"
#include "runtime/os/thread_census.h"
#include "runtime/task/exception_text.h"
#include "runtime/task/printable_text.h"

namespace rtd::host {

namespace {

using rt::detail::code_image;
using rt::detail::code_reference;
using rt::detail::code_references;
using namespace std::chrono_literals;

// How long destructors of the plugin, and threads that are about to end, are waited for. A refusal costs this long.
constexpr auto patience = 3s;
constexpr auto first_pause = 5ms;
constexpr auto longest_pause = 200ms;
// References that are told: the others are of the same kind as a rule.
constexpr std::size_t most_told = 4;
constexpr std::size_t most_name_bytes = 256;

struct image_search {
  std::uintptr_t base;
  code_image found;
};

int look_at_module(dl_phdr_info* info, std::size_t, void* argument) {
  auto& wanted = *static_cast<image_search*>(argument);
  if (info->dlpi_addr != wanted.base) return 0;
  code_image& image = wanted.found;
  image.low = image.code_low = UINTPTR_MAX;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD) continue;
    const std::uintptr_t low = info->dlpi_addr + part.p_vaddr;
    const std::uintptr_t high = low + part.p_memsz;
    image.low = std::min(image.low, low);
    image.high = std::max(image.high, high);
    if ((part.p_flags & PF_X) == 0) continue;
    image.code_low = std::min(image.code_low, low);
    image.code_high = std::max(image.code_high, high);
  }
  return 1;
}

std::optional<code_image> image_of(const loaded_plugin& plugin) {
  link_map* map = nullptr;
  if (dlinfo(plugin.handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return std::nullopt;
  image_search search{map->l_addr, {}};
  if (dl_iterate_phdr(&look_at_module, &search) == 0) return std::nullopt;
  return search.found;
}

// What of the plugin the address is, for people.
std::string target_text(std::uintptr_t address, const loaded_plugin& plugin) {
  link_map* map = nullptr;
  if (plugin.symbols != nullptr && dlinfo(plugin.handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr) {
    const auto match = plugin.symbols->find(address - map->l_addr);
    if (match.name != nullptr) return rt::detail::printable_text(match.name, most_name_bytes);
  }
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(address), &info) != 0 && info.dli_sname != nullptr)
    return rt::detail::printable_text(rt::detail::demangled(info.dli_sname), most_name_bytes);
  return "its data at " + hexadecimal(address);
}

std::string owner_text(const rt::detail::heap_owner* owner, const task_table& tasks) {
  for (const auto& task : tasks.list())
    if (owner != nullptr && task->heap().get() == owner) return " of task \"" + task->identity().id + "\"";
  return " that no running task has made";
}

std::string green_thread_text(std::uint64_t id) {
  std::string text = "green thread " + std::to_string(id);
  for (const rt::green_thread_info& one : rt::all_green_threads()) {
    if (one.id != id) continue;
    if (!one.name.empty()) text += " (" + one.name + ")";
    if (!one.task.empty()) text += " of task \"" + one.task + "\"";
    text += ", " + one.state;
  }
  return text;
}

std::string reference_text(const code_reference& one, const loaded_plugin& plugin, const task_table& tasks) {
  using place = code_reference::place;
  using rt::detail::root_kind;
  if (one.where == place::dead_object)
    return "the destructor of an object" + owner_text(one.owner, tasks) + " was not called yet";
  const std::string target = target_text(one.to, plugin);
  if (one.where == place::object)
    return "an object of " + std::to_string(one.size) + " bytes at " + hexadecimal(one.object) +
           owner_text(one.owner, tasks) + ", which is in use (`rtctl heap why`), refers to " + target;
  if (one.root == root_kind::stack || one.root == root_kind::registers)
    return target + " is on the stack of " + green_thread_text(one.green_thread);
  if (one.root == root_kind::data)
    return rt::detail::printable_text(rt::detail::data_place(reinterpret_cast<const void*>(one.at)),
                                      2 * most_name_bytes) +
           " refers to " + target;
  return std::string(rt::detail::to_text(one.root)) + " refers to " + target;
}

std::string references_text(const code_references& found, const loaded_plugin& plugin, const task_table& tasks) {
  std::vector<std::string> told;
  for (const code_reference& one : found.first) {
    std::string text = reference_text(one, plugin, tasks);
    if (told.size() == most_told || std::find(told.begin(), told.end(), text) != told.end()) continue;
    told.push_back(std::move(text));
  }
  std::string text;
  for (const std::string& one : told) text += (text.empty() ? "" : "; ") + one;
  if (found.count > told.size()) text += " (" + std::to_string(found.count) + " references in all)";
  return text;
}

std::string signals_text(const code_image& image) {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) != 0) continue;
    const auto handler = (action.sa_flags & SA_SIGINFO) != 0 ? reinterpret_cast<std::uintptr_t>(action.sa_sigaction)
                                                             : reinterpret_cast<std::uintptr_t>(action.sa_handler);
    if (!image.holds(handler)) continue;
    const char* name = sigabbrev_np(number);
    return "it handles the signal " + (name != nullptr ? "SIG" + std::string(name) : std::to_string(number));
  }
  return {};
}

// What refers to it now; empty: nothing. Tries for a while.
std::string what_needs(const code_image& image, const loaded_plugin& plugin, const task_table& tasks) {
  // This thread runs none of the plugin's code while the proof is made.
  rt::os::own_thread counted;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::string why;
  for (std::chrono::milliseconds pause = first_pause;;
       pause = std::min<std::chrono::milliseconds>(2 * pause, longest_pause)) {
    const code_references found = rt::detail::find_code_references(image);
    if (!found.is_made)
      why = "the search for references could not be made: another one is under way, or memory is short";
    else if (found.count != 0)
      why = references_text(found, plugin, tasks);
    else if (why = signals_text(image); why.empty() && !rt::os::only_own_threads())
      why = "a kernel thread exists that is none of the runtime's, and may run its code";
    if (why.empty() || std::chrono::steady_clock::now() >= deadline) return why;
    std::this_thread::sleep_for(pause);
  }
}

rt::detail::root_range range_of(std::uintptr_t low, std::uintptr_t high) noexcept {
  return {reinterpret_cast<const char*>(low), reinterpret_cast<const char*>(high)};
}

// @throws std::bad_alloc
void prove(unload_proof& proof, const loaded_plugin& plugin, const task_table& tasks) {
  const auto image = image_of(plugin);
  if (!image) {
    proof.why_not = "the loader of the system does not say where it lies";
    return;
  }
  proof.low = image->low;
  proof.high = image->high;
  proof.why_not = what_needs(*image, plugin, tasks);
  if (!proof.why_not.empty()) return;
  if (!rt::detail::exclude_from_roots(range_of(image->low, image->high))) {
    proof.why_not = "too many plugins could not be unloaded before";
    return;
  }
  proof.is_spent = true;
  // What its variables kept is found dead by the collection that this makes.
  proof.why_not = what_needs(*image, plugin, tasks);
}

}  // namespace

unload_proof prove_unused(const loaded_plugin& plugin, const task_table& tasks) {
  unload_proof proof;
  try {
    prove(proof, plugin, tasks);
  } catch (const std::bad_alloc&) {
    proof.why_not = "memory is short";
  }
  return proof;
}

void forget(const unload_proof& proof) noexcept { rt::detail::include_in_roots(range_of(proof.low, proof.high)); }

}  // namespace rtd::host
