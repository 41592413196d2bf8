// dlopen that survives a constructor which throws.
//
// An exception that leaves a plugin's constructor of a global object never reaches a handler around dlopen: the
// initialising function that the compiler makes ends the process by std::terminate, as the standard demands, and so
// does the search for a handler where it does not. Were there a handler, the loader would be left with its lock held,
// and the next dlopen, dlsym or getaddrinfo on another thread would wait for ever.
//
// So the load runs on a kernel thread of its own, with nothing above it that could catch, and std::terminate of that
// thread is answered by returning from the constructor to the loader: the frames of the plugin are given up, the
// registers that a callee must keep are restored from the unwinder's view of the loader's innermost frame, and the
// loader goes on as if the constructor had returned. It runs the remaining constructors, releases its lock and returns;
// then the plugin is unloaded and the exception's text reported. This needs only what the platform's ABI promises about
// unwinding; nothing of the loader's inside is touched.
//
// Rejected: trying the load in a forked child (constructors would run twice, in a process of which only one thread
// exists); running the constructors by hand from a patched copy of the file (debuggers and dladdr lose the file).
#pragma once

#include <string>

namespace rtd::host {

struct load_outcome {
  void* handle = nullptr;    // null when it could not be loaded or was unloaded again
  std::string loader_error;  // dlerror's text
  bool constructor_threw = false;
  std::string constructor_error;  // the exception's text
  bool still_resident = false;    // the constructor threw, but the loader cannot let go of the object
};

/// Loads `path` with all symbols bound and none of its own made public. Blocks while the constructors run. One call at
/// a time (the caller serialises). @throws std::system_error when no thread can be had.
load_outcome guarded_load(const std::string& path);

/// Whether the caller is the thread of the load that runs now. Async-signal-safe.
bool is_loading_thread() noexcept;

/// Makes std::terminate look whether it is such a load's. Once, at the start of the process.
void install_terminate_handler() noexcept;

}  // namespace rtd::host
