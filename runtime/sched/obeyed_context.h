// What a green thread obeys besides the cancellation of its task and its scopes: the contexts that it has bound to
// itself by rt::context_scope. The floor of contexts (runtime/sync) makes these; the scheduler only looks at them.
//
// They lie on the green thread's own stack, innermost first. Each remembers how many cancellation shields were alive
// when it was bound: a shield holds back what was asked before it was raised, and not the deadline that clean-up code
// sets itself inside.
#pragma once

#include <atomic>
#include <cstdint>

namespace rt::detail {

/// How a context ended.
enum class context_end : std::uint8_t { none, cancelled, deadline };

struct obeyed_context {
  const std::atomic<context_end>* end = nullptr;  // the context's word; only ever leaves `none`
  obeyed_context* outer = nullptr;
  std::uint8_t shield = 0;                             // cancellation_shields that were alive when it was bound
  void (*throw_end)(const obeyed_context&) = nullptr;  // never returns
};

/// The innermost of `first` and those around it that has ended and is not held back by a shield; null if none is.
inline const obeyed_context* ended_context(const obeyed_context* first, std::uint8_t shield) noexcept {
  for (const obeyed_context* one = first; one != nullptr && one->shield >= shield; one = one->outer) {
    // Acquire: pairs with the store that ended it; the reason is read afterwards.
    if (one->end->load(std::memory_order_acquire) != context_end::none) return one;
  }
  return nullptr;
}

}  // namespace rt::detail
