// What hangs on objects of the collected heap: weak references and clean-up functions. See attachments.cpp.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rt/cleanup.h"
#include "rt/weak.h"
#include "runtime/heap/span.h"

namespace rt::detail {

struct root_slot;
class task_cleanups;

enum class attachment_kind : std::uint8_t { weak, cleanup, sample };

/// One of them. Its memory is never given back, only used for another one, so that a stale handle may look at it.
struct attachment {
  attachment* pool_link = nullptr;
  attachment* next = nullptr;            // of the same span, under its lock; or of the dead of a task
  std::atomic<std::uint64_t> serial{0};  // another one for each use; 0: free, or no more to be had
  std::atomic<std::uintptr_t> target{0};
  std::atomic<span*> in{nullptr};          // the target's; a descriptor is never unmapped
  std::atomic<std::uint32_t> alive_in{0};  // the newest sweep generation in which the object is known to be alive
  attachment_kind kind = attachment_kind::weak;
  // Of a clean-up function.
  cleanup_record* record = nullptr;
  root_slot* root = nullptr;  // keeps the record
  task_cleanups* owner = nullptr;
  // Of a sample of the heap profile.
  void* sample = nullptr;  // whatever the hook below knows it by
  double weight = 0;

  void reset() noexcept {
    next = nullptr;
    record = nullptr;
    root = nullptr;
    owner = nullptr;
    sample = nullptr;
  }
};

/// The object of `size` bytes, its slot's, on which attach_sample has put `sample`, has been found dead. On any thread,
/// in a critical section; takes no lock of the heap or the collector and no malloc.
using sample_end_hook = void (*)(void* sample, std::size_t size, double weight) noexcept;
extern std::atomic<sample_end_hook> on_sample_end;

/// Has on_sample_end called when the object is dead; false when the system has no memory for that. Any thread.
bool attach_sample(const void* object, void* sample, double weight) noexcept;

/// The heap's hook: before the span is swept, what hangs on its dead objects is taken off.
void sweep_attachments(span& swept) noexcept;
/// The other one: the span is freed, alive or not.
void drop_attachments(span& freed) noexcept;
/// Takes what belongs to `owner` off all objects and hands it to `take`, which may block.
void detach_all(const task_cleanups& owner, void (*take)(attachment& one) noexcept) noexcept;
/// The node is used again.
void free_attachment(attachment& one) noexcept;
/// Bytes obtained from the system.
std::size_t attachment_bytes() noexcept;

}  // namespace rt::detail
