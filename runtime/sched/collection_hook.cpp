#include "runtime/sched/collection_hook.h"

#include <atomic>

namespace rt::detail {

static std::atomic<collection_hook*> first_hook{nullptr};

void add_collection_hook(collection_hook& one) noexcept {
  one.next = first_hook.load(std::memory_order_relaxed);
  // Release: pairs with run_collection_hooks.
  while (!first_hook.compare_exchange_weak(one.next, &one, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

void run_collection_hooks() noexcept {
  for (collection_hook* one = first_hook.load(std::memory_order_acquire); one != nullptr; one = one->next) one->run();
}

}  // namespace rt::detail
