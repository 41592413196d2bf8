// Caches that shrink with each collection of the heap (rt::pool) are told about it here. The collector calls
// run_collection_hooks() once a cycle, and so does rt::release_memory().
#pragma once

namespace rt::detail {

/// In static memory of whoever registers it, once.
struct collection_hook {
  /// Called on any thread, green or not, by several at once; must not block.
  void (*run)() noexcept;
  collection_hook* next = nullptr;
};

/// Registers a hook for the life of the process. Any thread.
void add_collection_hook(collection_hook& one) noexcept;
/// Calls all hooks. Any thread.
void run_collection_hooks() noexcept;

}  // namespace rt::detail
