// The waits of coroutines, and their frames: what sched/coroutine_crew.h runs.
//
// A coroutine waits in a channel's list by a waiter without a green thread. It is claimed as a select of one case is,
// by an exchange of a word in the frame of who waits: it has no park word that claims and wakes at once, for a
// coroutine that is woken has to be put into its crew's queue.
#include "rt/coroutine.h"

#include <new>
#include <system_error>

#include "rt/gc.h"
#include "rt/usage_error.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/coroutine_crew.h"
#include "runtime/sched/frame_list.h"
#include "runtime/sched/group.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sync/chan_core.h"

namespace rt::detail {

namespace {

// What stands in the frames of the list is found from here on (frame_list.h).
void shade(frame_header& one) noexcept {
  if (gc_marking.load(std::memory_order_relaxed)) [[unlikely]]
    shade_words(one.frame(), one.size);
}

void shade_changed(const green_thread& self) noexcept {
  for (frame_header* one = first_frame(self); one != nullptr; one = one->next.load(std::memory_order_relaxed)) {
    shade(*one);
  }
}

// What belongs to the kernel thread cannot go along to another one.
void refuse_what_is_bound() {
  const green_thread& carrier = *current_green_thread();
  if (carrier.thread_locks != 0) {
    throw usage_error(
        "co_await in a coroutine that has called rt::lock_os_thread: it may go on with another kernel thread; call "
        "rt::unlock_os_thread before, or wait without co_await");
  }
  if (carrier.os_locks != 0) {
    throw usage_error(
        "co_await in a coroutine that holds a lock of the system (std::mutex): it may go on with another kernel "
        "thread; "
        "unlock it before, or use rt::mutex");
  }
}

class wait_state {
 public:
  wait_state(coroutine_record& self, chan_core* core, bool sending, std::int64_t deadline) noexcept
      : core_(core), sending_(sending), deadline_(deadline) {
    claim_.coroutine = &self;
    mine_.select = &claim_;
    timer_.when = deadline;
    timer_.first = &self;
    timer_.ends_own_wait = true;
    // It may come late, for a coroutine that waits for something else or has ended: a wake for nothing.
    timer_.fire = [](void* first, std::uint64_t) noexcept { unpark(*static_cast<coroutine_record*>(first)); };
  }

  bool begin_in_channel(void* element) {
    refuse_what_is_bound();
    arm();
    waiter* served = nullptr;
    {
      os::spin_guard guard(core_->lock);
      status_ = sending_ ? core_->send_now(element, served) : core_->receive_now(element, served);
      if (status_ == chan_status::would_block) {
        mine_.element = element;
        core_->queue_of(sending_).push(mine_);
      }
    }
    if (served != nullptr) tell(*served, wait_outcome::done);
    if (status_ != chan_status::would_block) return false;
    return leave(sending_ ? wait_reason::chan_send : wait_reason::chan_receive);
  }
  bool begin_without_channel(wait_reason reason) {
    refuse_what_is_bound();
    arm();
    return leave(reason);
  }

  // On the coroutine's carrier. Ends the object's life.
  chan_status end() {
    timer_heap::remove(timer_);
    chan_status status = status_;
    if (status == chan_status::would_block) {
      if (claim_.chosen.load(std::memory_order_relaxed) == select_state::gave_up) {
        if (core_ != nullptr) {
          os::spin_guard guard(core_->lock);
          core_->queue_of(sending_).remove(mine_);
        }
        status = chan_status::timed_out;
      } else {
        status =
            mine_.outcome.load(std::memory_order_relaxed) == wait_outcome::done ? chan_status::ok : chan_status::closed;
      }
    }
    const bool waited_in_vain = status == chan_status::timed_out;
    this->~wait_state();
    if (waited_in_vain) throw_if_cancellation_pending(*require_green_thread("a coroutine"));
    return status;
  }

 private:
  ~wait_state() = default;

  void arm() {
    if (deadline_ != no_deadline) the_scheduler()->add_timer(timer_);
  }
  bool leave(wait_reason reason) noexcept {
    coroutine_record& self = *claim_.coroutine;
    shade_changed(*current_green_thread());
    return coroutine_crew::leave_until(self, reason, deadline_ != no_deadline, &is_over, this);
  }
  static bool is_over(void* wait, const green_thread& carrier) noexcept {
    auto& self = *static_cast<wait_state*>(wait);
    int chosen = self.claim_.chosen.load(std::memory_order_acquire);  // pairs with claim
    if (chosen == select_state::undecided &&
        (cancellation_pending(carrier) || (self.deadline_ != no_deadline && runtime_now() >= self.deadline_)) &&
        self.claim_.chosen.compare_exchange_strong(chosen, select_state::gave_up, std::memory_order_acq_rel)) {
      return true;
    }
    if (chosen == select_state::gave_up) return true;
    return chosen != select_state::undecided && is_told(self.mine_);  // else the teller is on its way
  }

  select_state claim_;
  waiter mine_;
  timer_node timer_;
  chan_core* const core_;
  const bool sending_;
  chan_status status_ = chan_status::would_block;
  const std::int64_t deadline_;
};
static_assert(sizeof(wait_state) <= sizeof(coroutine_wait), "rt/coroutine.h reserves the place");

wait_state& state_in(coroutine_wait& wait) noexcept { return *std::launder(reinterpret_cast<wait_state*>(wait.bytes)); }

}  // namespace

void* new_frame(std::size_t size) {
  if (size > frame_header::largest) throw std::bad_alloc();
  void* memory = allocate(sizeof(frame_header) + size, alignof(frame_header), span_kind::scanned);
  open_to_use(memory, sizeof(frame_header) + size);
  auto* header = ::new (memory) frame_header{frame_header::is_frame, nullptr, new_root(memory), size};
  if (green_thread* self = current_green_thread(); self != nullptr)
    begin_frame_list(*self, *header, first_frame(*self));
  return header->frame();
}

// Of one that has been destroyed, or whose arguments could not be moved into it: that one is still being made.
void end_frame(void* frame) noexcept {
  frame_header& header = *frame_header::of(frame);
  if (green_thread* self = current_green_thread(); self != nullptr && first_frame(*self) == &header) {
    self->frames.store(header.next.load(std::memory_order_relaxed), std::memory_order_release);  // as frame_is_made
  }
  end_root(header.root);
}

void frame_is_made(void* frame) noexcept {
  frame_header& header = *frame_header::of(frame);
  shade(header);
  if (green_thread* self = current_green_thread(); self != nullptr) {
    self->frames.store(header.next.load(std::memory_order_relaxed), std::memory_order_release);  // frame_list.h
  }
}

// Inside the frame wherever it points, so that it may be looked at.
void* checked_handle(void* handle) noexcept {
  if (reinterpret_cast<std::uintptr_t>(handle) % alignof(frame_header) != 0) return nullptr;
  return frame_header::of(handle)->tag == frame_header::is_frame ? handle : nullptr;
}

void destroy_coroutine(void* handle) noexcept {
  if (handle != nullptr) std::coroutine_handle<>::from_address(handle).destroy();
}

void start_coroutine(coroutine_frame* outermost, const char* name) {
  if (outermost == nullptr || outermost->handle == nullptr) throw_no_coroutine(outermost != nullptr);
  scheduler* the = the_scheduler();
  if (the == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "rt::go: no runtime is running; call it inside rt::run");
  }
  group* mine = current_group();
  (mine != nullptr ? *mine : the->default_group()).crew.start(*outermost, name);
}

void throw_no_coroutine(bool made) {
  if (made) {
    throw usage_error(
        "rt::coroutine: the compiler has laid out the frame wrongly, as GCC 12 does when a co_await stands in the "
        "condition of an if or a loop and the outermost block of the coroutine has no variable; put what the co_await "
        "gives into a variable first");
  }
  throw usage_error("the rt::coroutine is empty: it was moved from, or has been started or awaited already");
}

void call_coroutine(coroutine_frame& caller, coroutine_frame& called) noexcept {
  coroutine_record& record = *caller.record;
  called.record = &record;
  called.awaited_by = &caller;
  green_thread& self = *current_green_thread();
  begin_frame_list(self, *frame_header::of(called.handle), first_frame(self));
  record.innermost = &called;
}

void return_from_coroutine(coroutine_frame& ended) noexcept {
  coroutine_record& record = *ended.record;
  green_thread& self = *current_green_thread();
  frame_header& header = *frame_header::of(ended.handle);
  // Its result stays in it until the one that awaits it has taken it.
  shade(header);
  coroutine_frame* next = ended.awaited_by;
  frame_header* rest = header.next.load(std::memory_order_relaxed);
  if (next != nullptr && rest == nullptr) {
    // That one has not run since the carrier took the coroutine up.
    begin_frame_list(self, *frame_header::of(next->handle), nullptr);
  } else {
    self.frames.store(rest, std::memory_order_release);  // frame_list.h
  }
  record.innermost = next;
}

bool begin_chan_wait(coroutine_frame& self, coroutine_wait& wait, chan_core* core, bool sending, void* element,
                     std::int64_t deadline) {
  auto* state = ::new (static_cast<void*>(wait.bytes)) wait_state(*self.record, core, sending, deadline);
  if (core != nullptr) return state->begin_in_channel(element);
  return state->begin_without_channel(sending ? wait_reason::chan_send_nil : wait_reason::chan_receive_nil);
}

chan_status end_chan_wait(coroutine_wait& wait) { return state_in(wait).end(); }

bool begin_sleep(coroutine_frame& self, coroutine_wait& wait, std::int64_t deadline) {
  auto* state = ::new (static_cast<void*>(wait.bytes)) wait_state(*self.record, nullptr, false, deadline);
  return state->begin_without_channel(wait_reason::sleep);
}

void end_sleep(coroutine_wait& wait) { state_in(wait).end(); }

void yield_coroutine(coroutine_frame& self) {
  refuse_what_is_bound();
  shade_changed(*current_green_thread());
  coroutine_crew::leave_for_others(*self.record);
}

void end_yield() { throw_if_cancellation_pending(*require_green_thread("a coroutine")); }

}  // namespace rt::detail
