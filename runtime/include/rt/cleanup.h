// Functions that are called when an object is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "rt/make.h"

namespace rt {

namespace detail {

struct attachment;

/// What is kept until then: on the collected heap, so that the function and its argument may hold references.
struct cleanup_record {
  void (*call)(cleanup_record& self);
  void (*destroy)(cleanup_record& self) noexcept;
};

template <class Function, class... Argument>
struct cleanup_record_of : cleanup_record {
  Function function;
  std::tuple<Argument...> argument;

  template <class... Given>
  explicit cleanup_record_of(Function&& how, Given&&... given)
      : cleanup_record{
            [](cleanup_record& self) {
              auto& mine = static_cast<cleanup_record_of&>(self);
              std::apply(std::move(mine.function), std::move(mine.argument));
            },
            [](cleanup_record& self) noexcept { static_cast<cleanup_record_of&>(self).~cleanup_record_of(); }},
        function(std::move(how)),
        argument(std::forward<Given>(given)...) {}
};

struct cleanup_identity {
  attachment* node = nullptr;
  std::uint64_t serial = 0;
};
/// Takes the record over, `size` bytes of it; destroys it when it throws.
cleanup_identity attach_cleanup(const void* object, cleanup_record& record, std::size_t size);
bool stop_cleanup(const cleanup_identity& one) noexcept;

template <class Function, class... Argument>
cleanup_identity new_cleanup(const void* object, Function&& function, Argument&&... argument) {
  using record_type = cleanup_record_of<Function, Argument...>;
  static_assert(alignof(record_type) <= 4096, "the collected heap aligns to 4096 bytes at most");
  void* memory = allocate(sizeof(record_type), alignof(record_type), span_kind::scanned);
  auto* record = ::new (memory) record_type(std::forward<Function>(function), std::forward<Argument>(argument)...);
  return attach_cleanup(object, *record, sizeof(record_type));
}

}  // namespace detail

/// A clean-up function that waits for its object's death (rt::add_cleanup). A handle: copies mean the same one, and it
/// may be thrown away.
class cleanup {
 public:
  /// None.
  constexpr cleanup() noexcept = default;
  explicit cleanup(detail::cleanup_identity one) noexcept : one_(one) {}
  /// Takes the function back and destroys it. True if that was in time: it will not be called. Any thread; does not
  /// block. The object must be alive for the answer to mean something, so keep it until then (rt::keep_alive).
  bool stop() const noexcept { return detail::stop_cleanup(one_); }

 private:
  detail::cleanup_identity one_;
};

/// Calls `function(argument)` some time after nothing refers to `object` any more: on a green thread of the calling
/// task, one function after the other, so one that takes long or blocks for long starts a green thread of its own. An
/// object may have any number of them; they are called in no particular order. `object` may be a pointer to a part of
/// an object, and means the whole.
///
/// The function gets the argument because it cannot get the object, which is gone: what belongs together with it (a
/// descriptor, a name) is put into the argument. Both are kept alive until the call, so if they referred to the object
/// it would never come; that is refused where it is seen. Objects that are referred to by others which have clean-up
/// functions, in a circle as well, are no problem.
///
/// When the task ends, functions that have not been called are thrown away. What must happen at that time belongs into
/// a destructor. Collections come when the heap has grown, so the time of the call says nothing: never use it to free
/// what is scarce. As Go's runtime.AddCleanup.
///
/// Must be called on a green thread. Does not block. An exception that leaves the function fails the task.
/// @throws rt::usage_error when the object is not on the collected heap, when the argument or what the function has
/// captured is or refers to the object, and off green threads; std::bad_alloc; std::system_error as rt::go, from the
/// first call in a task
template <class T, class Function, class Argument>
  requires std::is_invocable_v<Function, Argument> cleanup add_cleanup(T* object, Function function,
                                                                       Argument argument) {
    return cleanup(detail::new_cleanup<Function, Argument>(object, std::move(function), std::move(argument)));
  }
/// The same without an argument, for what `function` has captured.
template <class T, class Function>
  requires std::is_invocable_v<Function> cleanup add_cleanup(T* object, Function function) {
    return cleanup(detail::new_cleanup<Function>(object, std::move(function)));
  }

}  // namespace rt
