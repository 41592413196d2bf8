#include "runtime/sched/coroutine_crew.h"

#include <coroutine>
#include <string>
#include <system_error>
#include <utility>

#include "rt/go.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/frame_list.h"
#include "runtime/sched/group.h"
#include "runtime/sched/housekeeper.h"
#include "runtime/sched/park.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// Carriers that stay idle beside each other: as many coroutines as begin to block at the same moment find one without
// a start. Each has a page of stack.
constexpr std::uint32_t most_idle = 8;

// The first word of a frame is what resumes it, with every compiler that follows the Itanium ABI.
void* code_of(const coroutine_frame& one) noexcept { return *static_cast<void**>(one.handle); }

// The carrier becomes the coroutine's: what belongs to the flow of control, and not to the stack, is its own.
void take_up(green_thread& self, coroutine_record& one) noexcept {
  self.carried = &one;
  one.carrier.store(&self, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with unpark_with_carrier
  self.shield = one.shield;
  self.obeyed = one.obeyed;
  self.values = one.values;
  if (one.innermost != nullptr) begin_frame_list(self, *frame_header::of(one.innermost->handle), nullptr);
  one.where.store(phase::running, std::memory_order_relaxed);
}

// The reverse. All frames of the list have been shaded (frame_list.h).
void put_down(green_thread& self, coroutine_record& one) noexcept {
  one.shield = std::exchange(self.shield, std::uint8_t{0});
  one.obeyed = std::exchange(self.obeyed, nullptr);
  one.values = std::exchange(self.values, nullptr);
  one.code.store(code_of(*one.innermost), std::memory_order_relaxed);
  one.carrier.store(nullptr, std::memory_order_relaxed);
  self.frames.store(nullptr, std::memory_order_release);  // pairs with for_each_changed_frame
  self.carried = nullptr;
}

}  // namespace

coroutine_record* coroutine_table::take() noexcept {
  os::spin_guard guard(lock_);
  if (coroutine_record* one = free_; one != nullptr) {
    free_ = std::exchange(one->link, nullptr);
    return one;
  }
  block* newest = first_.load(std::memory_order_relaxed);
  if (newest == nullptr || newest->count.load(std::memory_order_relaxed) == records_in_block) {
    void* memory = os::reserve(block_size, 0, "rt: coroutines");
    if (memory == nullptr) return nullptr;
    block* fresh = ::new (memory) block{newest, 0};
    bytes_.fetch_add(block_size, std::memory_order_relaxed);
    first_.store(fresh, std::memory_order_release);  // pairs with for_each
    newest = fresh;
  }
  const std::size_t place = newest->count.load(std::memory_order_relaxed);
  auto* one = ::new (static_cast<void*>(newest->records() + place)) coroutine_record;
  newest->count.store(place + 1, std::memory_order_release);  // pairs with for_each
  return one;
}

void coroutine_table::give(coroutine_record& one) noexcept {
  os::spin_guard guard(lock_);
  one.link = free_;
  free_ = &one;
}

coroutine_table& coroutines() noexcept {
  static coroutine_table the;
  return the;
}

void unpark(coroutine_record& one) noexcept {
  // Of a parked one the crew is there: it ends after its coroutines.
  if (park_word::claim(one.park) != park_word::claim_result::token_left) {
    one.crew.load(std::memory_order_relaxed)->make_ready(one);
  }
}

// The race by name: *ended while it is taken up*. The caller has stored that a context has ended, and looks for a
// carrier; who takes the coroutine up stores the carrier, and looks at the context before it waits. With a full fence
// between on both sides at least one of them sees the other.
void unpark_with_carrier(coroutine_record& one) noexcept {
  unpark(one);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (green_thread* carrier = one.carrier.load(std::memory_order_relaxed); carrier != nullptr) unpark(*carrier);
}

void coroutine_crew::list(idle_carrier& one) noexcept {
  one.previous = nullptr;
  one.next = idle_;
  if (idle_ != nullptr) idle_->previous = &one;
  idle_ = &one;
  one.is_listed = true;
  ++idle_count_;
}

void coroutine_crew::take_off(idle_carrier& one) noexcept {
  if (!one.is_listed) return;
  if (one.previous != nullptr) {
    one.previous->next = one.next;
  } else {
    idle_ = one.next;
  }
  if (one.next != nullptr) one.next->previous = one.previous;
  one.is_listed = false;
  --idle_count_;
}

// The one that became idle last, whose memory is warm.
green_thread* coroutine_crew::idle_one() noexcept {
  idle_carrier* one = idle_;
  if (one == nullptr) return nullptr;
  take_off(*one);
  return one->carrier;
}

void coroutine_crew::enqueue(coroutine_record& one) noexcept {
  one.link = nullptr;
  (first_ == nullptr ? first_ : last_->link) = &one;
  last_ = &one;
}

void coroutine_crew::make_ready(coroutine_record& one) noexcept {
  one.where.store(phase::runnable, std::memory_order_relaxed);
  green_thread* to_wake;
  {
    os::spin_guard guard(lock_);
    enqueue(one);
    to_wake = idle_one_unless_awake();
  }
  // The crew may be gone from here on; a descriptor stays in memory.
  if (to_wake != nullptr) unpark(*to_wake);
}

void coroutine_crew::start_carrier() {
  if (!group_.housekeepers.begin()) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "rt::go: the task has ended; a coroutine can be started while it runs");
  }
  try {
    spawn_housekeeper(group_, housekeeping::stays, {.stack_size = group_.stack_size, .name = "coroutines"},
                      [this]() noexcept { carry(); });
  } catch (...) {
    group_.housekeepers.end();
    throw;
  }
}

void coroutine_crew::start(coroutine_frame& outermost, const char* name) {
  admit_coroutine(group_);
  coroutine_record* one = coroutines().take();
  if (one == nullptr) throw std::bad_alloc();
  bool carrier_is_due;
  {
    os::spin_guard guard(lock_);
    ++alive_;
    carrier_is_due = looking_ == 0;
    if (carrier_is_due) ++looking_;
  }
  if (carrier_is_due) {
    try {
      start_carrier();
    } catch (...) {
      {
        os::spin_guard guard(lock_);
        --looking_;
        --alive_;
      }
      coroutines().give(*one);
      throw;
    }
  }
  one->outermost = &outermost;
  one->innermost = &outermost;
  outermost.record = one;
  one->shield = 0;
  one->obeyed = nullptr;
  one->values = nullptr;
  one->is_over = nullptr;
  one->waits_for.store(wait_reason::none, std::memory_order_relaxed);
  one->timed_wait.store(false, std::memory_order_relaxed);
  one->name.store(name, std::memory_order_relaxed);
  one->id.store(count_coroutine(group_), std::memory_order_relaxed);
  one->where.store(phase::runnable, std::memory_order_relaxed);
  // Its next owner: a stale token of the last one's is a wake for nothing.
  one->crew.store(this, std::memory_order_release);  // pairs with walkers
  make_ready(*one);
  // One that starts others without end would never leave its P otherwise.
  if (worker* self = current_worker(); self != nullptr && self->current != nullptr) poll_attention(self);
}

coroutine_crew::taken coroutine_crew::take(green_thread& self) noexcept {
  idle_carrier mine{&self};
  while (true) {
    {
      os::spin_guard guard(lock_);
      take_off(mine);  // a wake for nothing
      if (coroutine_record* one = first_; one != nullptr) {
        first_ = one->link;
        const bool is_last_looking = --looking_ == 0;
        if (is_last_looking) ++looking_;
        return {one, is_last_looking, first_ != nullptr ? idle_one_unless_awake() : nullptr};
      }
      if (alive_ == 0 || idle_count_ == most_idle) {
        --looking_;
        return {};
      }
      list(mine);
    }
    park(wait_reason::coroutines);
  }
}

void coroutine_crew::look_again() noexcept {
  os::spin_guard guard(lock_);
  ++looking_;
}

// Every carrier.
void coroutine_crew::carry() noexcept {
  green_thread& self = *current_green_thread();
  while (true) {
    taken next = take(self);
    if (next.one == nullptr) return;
    if (next.to_wake != nullptr) unpark(*next.to_wake);
    if (next.carrier_is_due) {
      try {
        start_carrier();
      } catch (const std::system_error&) {
        os::spin_guard guard(lock_);  // no stack: those that can run wait until a carrier is free
        --looking_;
      }
    }
    run(self, *next.one);
    look_again();
    poll_attention(current_worker());
  }
}

void coroutine_crew::run(green_thread& self, coroutine_record& one) noexcept {
  bump(one.resumed, std::uint32_t{1});
  take_up(self, one);
  if (one.is_over != nullptr && leave(one)) return;
  while (coroutine_frame* innermost = one.innermost) {
    std::coroutine_handle<>::from_address(innermost->handle).resume();
    if (self.carried == nullptr) return;  // *left and gone*
  }
  end(self, one);
}

void coroutine_crew::end(green_thread& self, coroutine_record& one) noexcept {
  coroutine_frame& outermost = *one.outermost;
  if (std::exception_ptr error = std::exchange(outermost.error, nullptr); error != nullptr) {
    try {
      std::rethrow_exception(std::move(error));
    } catch (const cancelled&) {
      // Unwound to the end, as asked for.
    } catch (...) {
      report_escaped_exception(self);
    }
  }
  std::coroutine_handle<>::from_address(outermost.handle).destroy();
  end_values(self);
  self.shield = 0;
  self.obeyed = nullptr;
  self.carried = nullptr;
  one.carrier.store(nullptr, std::memory_order_relaxed);
  one.where.store(phase::unused, std::memory_order_relaxed);
  one.crew.store(nullptr, std::memory_order_release);  // pairs with walkers
  coroutines().give(one);
  bool was_last;
  {
    os::spin_guard guard(lock_);
    was_last = --alive_ == 0;
  }
  while (was_last) {
    green_thread* idle;
    {
      os::spin_guard guard(lock_);
      idle = alive_ == 0 ? idle_one() : nullptr;
    }
    if (idle == nullptr) break;
    unpark(*idle);
  }
  // Last: the task may end now. The caller, a housekeeper of it, is waited for.
  count_ended_coroutine(group_);
}

// On its carrier, or on the way to it. True: *left and gone*.
bool coroutine_crew::leave(coroutine_record& one) noexcept {
  green_thread& self = *current_green_thread();
  while (!one.is_over(one.wait, self)) {
    put_down(self, one);
    one.where.store(phase::waiting, std::memory_order_relaxed);
    if (park_word::settle(one.park)) return true;
    take_up(self, one);
  }
  one.is_over = nullptr;
  return false;
}

bool coroutine_crew::leave_until(coroutine_record& one, wait_reason reason, bool timed,
                                 bool (*is_over)(void*, const green_thread&) noexcept, void* wait) noexcept {
  one.is_over = is_over;
  one.wait = wait;
  one.waits_for.store(reason, std::memory_order_relaxed);
  one.timed_wait.store(timed, std::memory_order_relaxed);
  if (const processor* p = current_worker()->p; p != nullptr) {  // a hint, read outside of a critical section
    one.waiting_since.store(p->coarse_now.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  return leave(one);
}

void coroutine_crew::leave_for_others(coroutine_record& one) noexcept {
  put_down(*current_green_thread(), one);
  one.crew.load(std::memory_order_relaxed)->make_ready(one);
}

}  // namespace rt::detail
