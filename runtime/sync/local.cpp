// The tables of rt::local and rt::task_local: lists of values, newest first, which hang on the green thread or on its
// group. A green thread has few of them, and a list of few is searched faster than anything else.
//
// The table of a group is shared. Entries are only added (under its lock) until the group is gone, so they are searched
// without one. An entry comes before its value, which is made under the entry's own mutex, since making it may park.
#include "rt/local.h"

#include <atomic>
#include <memory>
#include <mutex>

#include "rt/mutex.h"
#include "rt/usage_error.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/attached.h"
#include "runtime/sched/group.h"
#include "runtime/sched/park.h"

namespace rt::detail {

namespace {

// Destructors may wait although the green thread has been cancelled, as under an rt::cancellation_shield.
class destroying {
 public:
  destroying() noexcept : self_(current_green_thread()) {
    if (self_ != nullptr) ++self_->shield;
  }
  ~destroying() {
    if (self_ != nullptr) --self_->shield;
  }
  destroying(const destroying&) = delete;
  destroying& operator=(const destroying&) = delete;

 private:
  green_thread* self_;  // null: a group that was made by hand ends outside the runtime
};

struct thread_entry {
  std::uint64_t key;
  thread_entry* next = nullptr;
  void* value = nullptr;
  void (*destroy)(void*) noexcept;
};

class thread_values final : public attached_values {
 public:
  void* find(std::uint64_t key) const noexcept {
    for (thread_entry* one = first_; one != nullptr; one = one->next) {
      if (one->key == key) return one->value;
    }
    return nullptr;
  }
  void add(thread_entry& one) noexcept {
    one.next = first_;
    first_ = &one;
  }
  bool destroy() noexcept override {
    destroying now;
    bool any = first_ != nullptr;
    while (first_ != nullptr) {  // a destructor may add others
      std::unique_ptr<thread_entry> one(first_);
      first_ = one->next;
      one->destroy(one->value);
    }
    return any;
  }
  void release() noexcept override { delete this; }

 private:
  thread_entry* first_ = nullptr;
};

struct task_entry {
  std::uint64_t key;
  task_entry* next = nullptr;
  std::atomic<void*> value{nullptr};
  void (*destroy)(void*) noexcept;
  rt::mutex making;
};

class task_values final : public attached_values {
 public:
  task_entry* find(std::uint64_t key) const noexcept {
    // Acquire: pairs with add.
    for (task_entry* one = first_.load(std::memory_order_acquire); one != nullptr; one = one->next) {
      if (one->key == key) return one;
    }
    return nullptr;
  }
  /// The entry of this key, added if there is none.
  task_entry& entry(std::uint64_t key, const local_kind& kind) {
    if (task_entry* known = find(key); known != nullptr) return *known;
    auto fresh = std::make_unique<task_entry>();
    fresh->key = key;
    fresh->destroy = kind.destroy;
    os::spin_guard guard(lock_);
    if (task_entry* known = find(key); known != nullptr) return *known;
    fresh->next = first_.load(std::memory_order_relaxed);
    first_.store(fresh.get(), std::memory_order_release);  // pairs with find
    return *fresh.release();
  }
  bool destroy() noexcept override {
    destroying now;
    bool any = false;
    for (task_entry* one = first_.load(std::memory_order_acquire); one != nullptr;) {
      void* value = one->value.exchange(nullptr, std::memory_order_acq_rel);
      if (value == nullptr) {
        one = one->next;
        continue;
      }
      any = true;
      one->destroy(value);
      one = first_.load(std::memory_order_acquire);  // the destructor may have asked for others
    }
    return any;
  }
  void release() noexcept override {
    for (task_entry* one = first_.load(std::memory_order_acquire); one != nullptr;) {
      std::unique_ptr<task_entry> owned(one);
      one = one->next;
    }
    delete this;
  }

 private:
  os::spin_lock lock_{os::lock_rank::none};
  std::atomic<task_entry*> first_{nullptr};
};

task_values& values_of(group& owner) {
  attached_values* known = owner.values.load(std::memory_order_acquire);  // pairs with the exchange below
  if (known == nullptr) {
    auto fresh = std::make_unique<task_values>();
    if (owner.values.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  }
  return static_cast<task_values&>(*known);
}

}  // namespace

std::uint64_t new_local_key() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

void* find_thread_value(std::uint64_t key) noexcept {
  green_thread* self = current_green_thread();
  if (self == nullptr || self->values == nullptr) return nullptr;
  return static_cast<thread_values*>(self->values)->find(key);
}

void* thread_value(std::uint64_t key, const local_kind& kind, const void* maker) {
  if (void* known = find_thread_value(key); known != nullptr) return known;
  green_thread* self = current_green_thread();
  if (self == nullptr) throw usage_error("rt::local was used outside a green thread; start one with rt::go or rt::run");
  auto entry = std::make_unique<thread_entry>();
  entry->key = key;
  entry->destroy = kind.destroy;
  if (self->values == nullptr) self->values = new thread_values;
  entry->value = kind.make(maker);
  thread_entry* made = entry.release();
  static_cast<thread_values*>(self->values)->add(*made);
  return made->value;
}

void* find_task_value(std::uint64_t key) noexcept {
  group* owner = current_group();
  attached_values* known = owner == nullptr ? nullptr : owner->values.load(std::memory_order_acquire);
  task_entry* entry = known == nullptr ? nullptr : static_cast<task_values*>(known)->find(key);
  return entry == nullptr ? nullptr : entry->value.load(std::memory_order_acquire);  // pairs with task_value
}

void* task_value(std::uint64_t key, const local_kind& kind, const void* maker) {
  group* owner = current_group();
  if (owner == nullptr) {
    throw usage_error("rt::task_local was used outside a green thread; start one with rt::go or rt::run");
  }
  task_entry& entry = values_of(*owner).entry(key, kind);
  void* value = entry.value.load(std::memory_order_acquire);  // pairs with the store below
  if (value != nullptr) return value;
  std::lock_guard lock(entry.making);
  value = entry.value.load(std::memory_order_relaxed);
  if (value == nullptr) {
    value = kind.make(maker);
    entry.value.store(value, std::memory_order_release);  // pairs with the loads above
  }
  return value;
}

}  // namespace rt::detail
