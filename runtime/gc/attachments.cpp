// Weak references and clean-up functions.
//
// Each is a node in a list that hangs on the span of its object (span::attachments), under one of a few locks that
// spans share. All weak references to one address share one node, which holds the address; a weak reference is the
// node's own address and its serial number. So they become null in one step, when the number is taken away, and stay
// equal or unequal for ever. The address in the node is in memory that the collector does not scan.
//
// When an object is dead. Marking is over, and the object has no mark: from that moment on, which is in a stop, nothing
// finds it again. But its span is swept later. Until then it is the mark that decides (strong_from); the sweep, before
// it clears the marks, calls sweep_attachments, which takes the nodes of dead objects off, and writes the sweep
// generation into those of the living. A node in which the present generation stands needs no further look. One that is
// made has it from the beginning: whoever makes it has the object in his hands.
//
// Invariants
//   1 A node's object is alive in generation alive_in. That changes to the present one only under the span's lock.
//   2 A node whose alive_in is older than the present generation was in its list when the marking ended; so the sweep
//     of its span, of which there is one, comes to it.
//   3 Nodes of dead objects are taken off before a slot of them is handed out again.
//   4 strong_from is one critical section: no marking begins or ends inside it.
//
// The races by name. *Strong from weak while marking ends*: the reader has found the object, and marking ends before it
// is on the reader's stack for the collector to see. The stop waits for the end of the critical section (4), and then
// scans that stack. Go blocks the conversion meanwhile. *Strong from weak while marking runs*: the object is shaded, it
// may not have been come to. *Lazy sweep*: the mark says dead because the sweep has cleared it already; then the sweep
// has been to the node, under the lock: it has the present generation, or is free. *The node is used again* between the
// reading of its number and of its address: the number is read once more after that.
//
// A clean-up function and its argument lie in a record on the collected heap, kept by a slot of rt::root. When its
// object is dead, the node goes to the list of its task (cleanups.cpp).
//
// Rejected: nodes on the collected heap, as Go's: references to them could only lie where an rt::ref may. Counting
// references to nodes: objects with weak references would need destructors. Clearing all in the last stop, which would
// be the longer the more there are.
#include "runtime/gc/attachments.h"

#include <cinttypes>
#include <cstdio>
#include <new>
#include <string>

#include "rt/usage_error.h"
#include "runtime/gc/cleanups.h"
#include "runtime/gc/roots.h"
#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap_state.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

root_slot* new_root(const void* object);
void end_root(root_slot* slot) noexcept;

namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;

// So many that two threads which use objects of different spans seldom meet.
constexpr std::size_t lock_count = 64;
struct alignas(64) list_lock {
  os::spin_lock lock{os::lock_rank::none};
};
list_lock locks[lock_count];
os::spin_lock& lock_of(const span& one) noexcept { return locks[one.first_page() % lock_count].lock; }

table_pool<attachment> nodes;
std::atomic<std::uint64_t> last_serial{0};

attachment* first_of(const span& one) noexcept {
  return static_cast<attachment*>(one.attachments.load(std::memory_order_acquire));
}

std::size_t index_in(const span& in, std::uintptr_t address) noexcept {
  if (in.is_large()) return 0;
  return (address - reinterpret_cast<std::uintptr_t>(in.begin())) / in.shape().size;
}

std::string text_of(const void* address) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIxPTR, reinterpret_cast<std::uintptr_t>(address));
  return text;
}

object_place require_object(const void* object, const char* call) {
  object_place place;
  if (find_object(reinterpret_cast<std::uintptr_t>(object), place)) return place;
  throw usage_error(std::string(call) + ": " + text_of(object) +
                    " is not an object of the collected heap; make it with rt::make");
}

// A node that is in no list yet; null when the system has no memory.
attachment* make_node(attachment_kind kind, const void* object, span& in) noexcept {
  attachment* fresh = nodes.take();
  if (fresh == nullptr) return nullptr;
  fresh->kind = kind;
  // Release: pairs with strong_from, which looks at the number again after it has read these.
  fresh->target.store(reinterpret_cast<std::uintptr_t>(object), std::memory_order_release);
  fresh->in.store(&in, std::memory_order_release);
  fresh->alive_in.store(the_heap().generation.load(relaxed), std::memory_order_release);
  return fresh;
}

// The same. @throws std::bad_alloc
attachment& new_node(attachment_kind kind, const void* object, span& in) {
  attachment* fresh = make_node(kind, object, in);
  if (fresh == nullptr) throw std::bad_alloc();
  return *fresh;
}

// Under the span's lock. The generation again: since the node was made a marking may have ended.
void put_first(span& in, attachment& one) noexcept {
  one.alive_in.store(the_heap().generation.load(relaxed), std::memory_order_release);
  one.serial.store(last_serial.fetch_add(1, relaxed) + 1, std::memory_order_release);  // pairs with strong_from
  one.next = first_of(in);
  in.attachments.store(&one, std::memory_order_release);  // pairs with the sweep
}

attachment* find_weak(const span& in, std::uintptr_t address) noexcept {
  for (attachment* one = first_of(in); one != nullptr; one = one->next) {
    if (one->kind == attachment_kind::weak && one->target.load(relaxed) == address) return one;
  }
  return nullptr;
}

// Takes the nodes of dead objects off.
void take_off_dead(span& in, bool all_are_dead) noexcept {
  std::uint32_t now = the_heap().generation.load(relaxed);
  attachment* dead = nullptr;  // of those that end here
  {
    os::spin_guard guard(lock_of(in));
    attachment* kept = nullptr;
    for (attachment* one = first_of(in); one != nullptr;) {
      attachment* next = one->next;
      bool is_alive = !all_are_dead &&
                      (one->alive_in.load(relaxed) == now || in.is_marked(index_in(in, one->target.load(relaxed))));
      if (is_alive) {
        one->alive_in.store(now, std::memory_order_release);  // pairs with strong_from
        one->next = kept;
        kept = one;
      } else {
        // No more to be had: neither as a strong reference nor for stop().
        one->serial.store(0, std::memory_order_release);
        if (one->kind == attachment_kind::cleanup) {
          one->owner->add_dead(*one);
        } else {
          one->next = dead;
          dead = one;
        }
      }
      one = next;
    }
    in.attachments.store(kept, std::memory_order_release);
  }
  while (dead != nullptr) {
    attachment* next = dead->next;
    if (dead->kind == attachment_kind::sample) {
      sample_end_hook hook = on_sample_end.load(std::memory_order_acquire);  // pairs with whoever attaches samples
      if (hook != nullptr) hook(dead->sample, in.element_size(), dead->weight);
    }
    nodes.give_back(*dead);
    dead = next;
  }
}

}  // namespace

std::atomic<sample_end_hook> on_sample_end{nullptr};

void free_attachment(attachment& one) noexcept {
  one.serial.store(0, std::memory_order_release);
  nodes.give_back(one);
}

std::size_t attachment_bytes() noexcept { return nodes.made_bytes(); }

void sweep_attachments(span& swept) noexcept { take_off_dead(swept, swept.end.load(relaxed) != span_end::none); }

void drop_attachments(span& freed) noexcept { take_off_dead(freed, true); }

weak_identity weak_to(const void* object) {
  if (object == nullptr) return {};
  object_place place = require_object(object, "rt::weak");
  if (is_destructor_due(*place.in, place.index)) return {};
  auto address = reinterpret_cast<std::uintptr_t>(object);
  {
    os::spin_guard guard(lock_of(*place.in));
    if (attachment* known = find_weak(*place.in, address)) return {known, known->serial.load(relaxed)};
  }
  attachment& fresh = new_node(attachment_kind::weak, object, *place.in);
  weak_identity made;
  {
    os::spin_guard guard(lock_of(*place.in));
    attachment* known = find_weak(*place.in, address);
    if (known == nullptr) {
      put_first(*place.in, fresh);
      known = &fresh;
    }
    made = {known, known->serial.load(relaxed)};
  }
  if (made.handle != &fresh) nodes.give_back(fresh);
  keep_alive(object);
  return made;
}

void* strong_from(const weak_identity& weak) {
  if (weak.handle == nullptr) return nullptr;
  attachment& node = *weak.handle;
  worker* self = current_worker();
  if (self == nullptr && the_scheduler() != nullptr) {
    throw usage_error(
        "rt::weak::lock was called on a thread that is none of the runtime's, where the collector does not see the "
        "pointer; call it on a green thread (rt::go)");
  }
  os::enter_critical();
  void* found = nullptr;
  // Acquire, all of them: whoever uses the node again takes the number away before he writes the others.
  if (node.serial.load(std::memory_order_acquire) == weak.serial) {
    std::uintptr_t address = node.target.load(std::memory_order_acquire);
    span* at = node.in.load(std::memory_order_acquire);
    std::uint32_t alive_in = node.alive_in.load(std::memory_order_acquire);
    if (node.serial.load(relaxed) == weak.serial) {
      span& in = *at;
      std::uint32_t now = the_heap().generation.load(relaxed);
      bool alive = alive_in == now;
      if (!alive) {
        os::spin_guard guard(lock_of(in));
        // It may have been swept meanwhile (invariant 2).
        alive = node.serial.load(relaxed) == weak.serial &&
                (node.alive_in.load(relaxed) == now || in.is_marked(index_in(in, address)));
        if (alive) node.alive_in.store(now, std::memory_order_release);
      }
      if (alive && in.end.load(relaxed) == span_end::none) found = reinterpret_cast<void*>(address);
    }
  }
  if (found != nullptr && gc_marking.load(relaxed)) gc_barrier(nullptr, found);
  os::leave_critical();
  return found;
}

bool attach_sample(const void* object, void* sample, double weight) noexcept {
  object_place place;
  if (!find_object(reinterpret_cast<std::uintptr_t>(object), place)) return false;
  attachment* fresh = make_node(attachment_kind::sample, object, *place.in);
  if (fresh == nullptr) return false;
  fresh->sample = sample;
  fresh->weight = weight;
  os::spin_guard guard(lock_of(*place.in));
  put_first(*place.in, *fresh);
  keep_alive(object);
  return true;
}

cleanup_identity attach_cleanup(const void* object, cleanup_record& record, std::size_t size) {
  attachment* fresh = nullptr;
  try {
    if (current_green_thread() == nullptr) {
      throw usage_error("rt::add_cleanup was called outside a green thread; call it from one that rt::go has started");
    }
    object_place place = require_object(object, "rt::add_cleanup");
    // Whatever it refers to lives as long as it does.
    const auto* words = reinterpret_cast<const std::uintptr_t*>(&record);
    for (std::size_t i = 0; i < size / sizeof(*words); ++i) {
      object_place other;
      if (find_object(words[i], other) && other.begin == place.begin) {
        throw usage_error("rt::add_cleanup: the argument or the function refers to the object " + text_of(object) +
                          " itself, which would never die; give what the function needs instead of the object");
      }
    }
    task_cleanups& owner = cleanups_of_task();
    fresh = &new_node(attachment_kind::cleanup, object, *place.in);
    fresh->record = &record;
    fresh->owner = &owner;
    fresh->root = new_root(&record);
    os::spin_guard guard(lock_of(*place.in));
    if (!owner.has_ended()) {
      put_first(*place.in, *fresh);
      return {fresh, fresh->serial.load(relaxed)};
    }
  } catch (...) {
    if (fresh != nullptr) nodes.give_back(*fresh);
    record.destroy(record);
    throw;
  }
  throw_away(*fresh);  // the task is about to end
  return {};
}

bool stop_cleanup(const cleanup_identity& one) noexcept {
  if (one.node == nullptr) return false;
  attachment& node = *one.node;
  {
    if (node.serial.load(std::memory_order_acquire) != one.serial) return false;
    span* at = node.in.load(std::memory_order_acquire);
    if (node.serial.load(relaxed) != one.serial) return false;
    span& in = *at;
    os::spin_guard guard(lock_of(in));
    if (node.serial.load(relaxed) != one.serial) return false;
    node.serial.store(0, std::memory_order_release);
    attachment* first = first_of(in);
    if (first == &node) {
      in.attachments.store(node.next, std::memory_order_release);
    } else {
      while (first->next != &node) first = first->next;
      first->next = node.next;
    }
  }
  throw_away(node);
  return true;
}

void detach_all(const task_cleanups& owner, void (*take)(attachment& one) noexcept) noexcept {
  for_each_span([&](span& in) {
    attachment* taken = nullptr;
    {
      os::spin_guard guard(lock_of(in));
      attachment* kept = nullptr;
      for (attachment* one = first_of(in); one != nullptr;) {
        attachment* next = one->next;
        bool is_wanted = one->owner == &owner;
        if (is_wanted) one->serial.store(0, std::memory_order_release);
        attachment*& list = is_wanted ? taken : kept;
        one->next = list;
        list = one;
        one = next;
      }
      if (taken != nullptr) in.attachments.store(kept, std::memory_order_release);
    }
    while (taken != nullptr) {
      attachment* next = taken->next;
      take(*taken);
      taken = next;
    }
  });
}

}  // namespace rt::detail
