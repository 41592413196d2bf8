// The proof that nothing refers to a plugin, before it is unloaded.
//
// Its tasks have ended when it is asked for. What they left is found dead by a collection, and the destructors of it
// that are the plugin's are called first: so the proof is tried again for a while before it fails. Then, in one moment
// in which everything stands still, nothing refers to the plugin: no stack, no object that is reachable, no exception
// and no data of another library (runtime/gc/code_references.h); no handler of a signal; and no kernel thread exists
// that is none of the host's, since such a thread may be in any code. What the plugin registered with the C library
// (atexit, destructors of its variables) runs when it is unloaded.
//
// Rejected: counting references by name (a plugin's tasks, timers, callbacks), which forgets what nobody thought of.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/host/plugin_loader.h"
#include "daemon/host/task_table.h"

namespace rtd::host {

struct unload_proof {
  /// What still refers to the plugin, for people: which task, which green thread, which object, and to what of the
  /// plugin. Empty: nothing does, and it may be unloaded.
  std::string why_not;
  /// Its variables are no roots any more: it must not run again. Then `forget` is to be called when it is gone.
  bool is_spent = false;
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
};

/// Makes the proof, and has the destructors called of what the plugin's variables refer to. Blocks for seconds when
/// something refers to it; makes collections. Kernel threads only.
unload_proof prove_unused(const loaded_plugin& plugin, const task_table& tasks);

/// The plugin is unloaded.
void forget(const unload_proof& proof) noexcept;

}  // namespace rtd::host
