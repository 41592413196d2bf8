// Contexts: a tree of counted nodes, each of which knows those below that can end, and the green threads that obey it.
//
// Invariants
//   1 A node that can end is linked in the nearest one above that can end, from its making until either of them ends or
//     nobody holds it any more. So a node that is done with leaves nothing behind.
//   2 `end_` leaves `none` once, under the node's lock, after `cause_` was written; whoever sees it changed may read
//   the
//     cause without the lock.
//   3 No lock is held while code of the user runs: functions, destructors of values and of causes. No two locks of
//     contexts are held at once.
//   4 What the user gave (values, causes) is destroyed by whoever gives up a handle or calls cancel(), never by a timer
//     or by another's cancel: those run where nothing may block, perhaps on a scheduler's stack.
//
// For 4 there are two counts. *Owners* are handles, and the nodes below, each of which owns the one above; with the
// last owner the node dies: what the user gave goes. *Keepers* keep the memory alone: all owners together are one, an
// armed timer is one, a cancel that has yet to come to a node is one, and so is each node that may have to unlink
// itself from this one, by its own cancel while it dies.
//
// Ending a tree takes the nodes one by one: under its own lock a node is marked, its green threads are unparked, and
// its children are unlinked and put into the list of nodes to come, linked by `next_to_end_`. A node is put into such a
// list once only, as it is unlinked from its parent once; so two cancels at the same time do not meet in the link.
//
// The races by name. *Bind against end*: both under the lock; who binds later finds the end before it parks. *Child
// against end*: a new node takes over the end of its parent under the parent's lock, or is linked and will be found.
// *Timer against end*: the timer is armed under the lock unless the node has ended, and disarmed after the end; a timer
// that fires meanwhile finds that nothing is left to do. *Death against end*: a dying node is marked dead under its own
// lock, so a cancel that comes to it later writes no cause into it.
//
// A wait with a context is a wait that looks at one more flag (sched/obeyed_context.h), and the context knows whom to
// unpark: no operation knows of contexts. Rejected: waiting for done() in a select inside of every operation (each wait
// would be a select); a green thread for each deadline; ending children under the parent's lock (the depth of a tree
// would be bounded by the stack of whoever cancels).
#include "rt/context.h"

#include <atomic>
#include <memory>
#include <new>
#include <string>

#include "rt/go.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/attached.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/coroutine_record.h"
#include "runtime/sched/group.h"
#include "runtime/sched/obeyed_context.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sync/chan_core.h"
#include "runtime/sync/root_context.h"

namespace rt {

namespace detail {

/// A green thread in the list of a context; on its own stack.
struct context_binding : obeyed_context {
  context_core* context = nullptr;  // what was bound; null for the background
  green_thread* owner = nullptr;
  coroutine_record* coroutine = nullptr;  // the owner, when it has no stack of its own
  context_binding* next = nullptr;
  context_binding* previous = nullptr;
};

class context_core {
 public:
  /// A node below `parent` (null: the background), of which it becomes an owner. One that `ends` by itself can be
  /// cancelled; a `severed` one does not end with its parent.
  enum class kind : std::uint8_t { ends, passes, severed };
  context_core(context_core* parent, kind what) noexcept : parent_(parent) {
    if (parent_ != nullptr) parent_->own();
    context_core* above = parent_ == nullptr ? nullptr : parent_->signal_;
    if (what == kind::severed) return;
    deadline_ = parent_ == nullptr ? no_deadline : parent_->deadline_;
    signal_ = what == kind::ends ? this : above;
    if (what != kind::ends || above == nullptr) return;
    above_ = above;
    above->keep();
    os::spin_guard guard(above->lock_);
    context_end ended = above->end_.load(std::memory_order_relaxed);
    if (ended == context_end::none) {
      above->link(*this);
      return;
    }
    cause_ = above->cause_;
    end_.store(ended, std::memory_order_release);  // pairs with end
  }
  context_core(const context_core&) = delete;
  context_core& operator=(const context_core&) = delete;

  void own() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  /// Gives up an owner of `one`; the last one ends it, and so gives up one of its parent, and so on.
  static void disown(context_core* one) noexcept {
    while (one != nullptr && one->owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      context_core* parent = one->parent_;
      one->die();
      one = parent;
    }
  }

  void set_value(const void* key, void* value, void (*destroy)(void*) noexcept) noexcept {
    key_ = key;
    value_ = value;
    destroy_value_ = destroy;
  }
  const void* value(const void* key) const noexcept {
    for (const context_core* one = this; one != nullptr; one = one->parent_) {
      if (one->key_ == key) return one->value_;
    }
    return nullptr;
  }

  /// The nearest one, from this one up, that can end; null if none can.
  context_core* signal() const noexcept { return signal_; }
  bool ends_with(const context_core& root) const noexcept {
    const context_core* one = signal_;
    while (one != nullptr && one != &root) one = one->above_;
    return one != nullptr;
  }
  std::int64_t deadline() const noexcept { return deadline_; }

  // --- on nodes that can end ----------------------------------------------------------------------------------------
  context_end end() const noexcept { return end_.load(std::memory_order_acquire); }  // pairs with end_one
  const std::atomic<context_end>& end_word() const noexcept { return end_; }
  /// Only after the end.
  std::exception_ptr cause() const noexcept RT_NO_THREAD_SAFETY_ANALYSIS { return cause_; }

  /// Ends it at `when`, unless it ends before: now, if that has passed.
  void end_at(std::int64_t when) {
    if (when >= deadline_) return;  // the one above is earlier
    deadline_ = when;
    if (when <= runtime_now()) {
      end_tree(context_end::deadline, nullptr);
      return;
    }
    scheduler* the = the_scheduler();
    if (the == nullptr) {
      throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                              "rt::with_deadline: no runtime is running; call it inside rt::run");
    }
    timer_.when = when;
    timer_.first = this;
    timer_.fire = [](void* core, std::uint64_t) noexcept {
      static_cast<context_core*>(core)->end_tree(context_end::deadline, nullptr);
      unkeep(static_cast<context_core*>(core));
    };
    os::spin_guard guard(lock_);
    if (end_.load(std::memory_order_relaxed) != context_end::none) return;
    the->add_timer(timer_);
    keep();
  }

  /// Ends it and all below.
  void end_tree(context_end how, const std::exception_ptr& cause) noexcept {
    context_core* next = end_one(how, cause, nullptr);
    while (next != nullptr) {
      context_core* one = next;
      next = one->end_one(how, cause, one->next_to_end_);
      unkeep(one);
    }
  }

  chan<context_ended> done() {
    {
      os::spin_guard guard(lock_);
      if (done_) return done_;
    }
    chan<context_ended> fresh;
    bool over = false;
    {
      os::spin_guard guard(lock_);
      if (done_) return done_;
      done_ = fresh;
      over = end_.load(std::memory_order_relaxed) != context_end::none;
    }
    if (over) fresh.core()->close();
    return fresh;
  }

  /// Puts a green thread among those that the end unparks. After the end that is not needed.
  void bind(context_binding& one) noexcept {
    os::spin_guard guard(lock_);
    one.previous = nullptr;
    one.next = first_binding_;
    if (first_binding_ != nullptr) first_binding_->previous = &one;
    first_binding_ = &one;
  }
  void unbind(context_binding& one) noexcept {
    os::spin_guard guard(lock_);
    (one.previous == nullptr ? first_binding_ : one.previous->next) = one.next;
    if (one.next != nullptr) one.next->previous = one.previous;
  }

 private:
  ~context_core() = default;

  void keep() noexcept { keepers_.fetch_add(1, std::memory_order_relaxed); }
  static void unkeep(context_core* one) noexcept {
    while (one != nullptr && one->keepers_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      context_core* above = one->above_;
      delete one;
      one = above;
    }
  }

  void link(context_core& child) noexcept RT_REQUIRES(lock_) {
    child.is_linked_ = true;
    child.previous_sibling_ = nullptr;
    child.next_sibling_ = first_child_;
    if (first_child_ != nullptr) first_child_->previous_sibling_ = &child;
    first_child_ = &child;
  }
  void unlink(context_core& child) noexcept RT_REQUIRES(lock_) {
    if (!child.is_linked_) return;
    child.is_linked_ = false;
    (child.previous_sibling_ == nullptr ? first_child_ : child.previous_sibling_->next_sibling_) = child.next_sibling_;
    if (child.next_sibling_ != nullptr) child.next_sibling_->previous_sibling_ = child.previous_sibling_;
  }

  /// Ends this node. Returns the list `to_come` with its children, kept, before.
  context_core* end_one(context_end how, const std::exception_ptr& cause, context_core* to_come) noexcept {
    chan<context_ended> done(nullptr);
    {
      os::spin_guard guard(lock_);
      if (is_dead_ || end_.load(std::memory_order_relaxed) != context_end::none) return to_come;
      cause_ = cause;
      end_.store(how, std::memory_order_release);  // pairs with end and ended_context
      done = done_;
      // Under the lock: a green thread that leaves its scope takes it, so each is alive here.
      for (context_binding* one = first_binding_; one != nullptr; one = one->next) {
        if (one->coroutine != nullptr) {
          unpark_with_carrier(*one->coroutine);
        } else {
          unpark(*one->owner);
        }
      }
      while (context_core* child = first_child_) {
        unlink(*child);
        child->keep();
        child->next_to_end_ = to_come;
        to_come = child;
      }
    }
    disarm();
    leave_parent();
    if (done) done.core()->close();
    return to_come;
  }

  void leave_parent() noexcept {
    if (above_ == nullptr) return;
    os::spin_guard guard(above_->lock_);
    above_->unlink(*this);
  }

  void disarm() noexcept {
    if (timer_heap::remove(timer_)) unkeep(this);
  }

  // The last owner has gone: no green thread is bound, and no child is left, as children own their parent.
  void die() noexcept {
    std::exception_ptr cause;
    {
      os::spin_guard guard(lock_);
      is_dead_ = true;
      cause.swap(cause_);
    }
    leave_parent();
    disarm();
    if (destroy_value_ != nullptr) destroy_value_(value_);
    unkeep(this);
  }

  std::atomic<std::uint32_t> owners_{1};
  std::atomic<std::uint32_t> keepers_{1};
  context_core* const parent_;
  context_core* signal_ = nullptr;  // this one or one above, which is owned through parent_
  context_core* above_ = nullptr;   // the next one above that can end, for one that can; its memory is kept
  std::int64_t deadline_ = no_deadline;
  const void* key_ = nullptr;
  void* value_ = nullptr;
  void (*destroy_value_)(void*) noexcept = nullptr;

  os::spin_lock lock_{os::lock_rank::context};
  std::atomic<context_end> end_{context_end::none};
  bool is_dead_ RT_GUARDED_BY(lock_) = false;
  bool is_linked_ = false;  // guarded by the lock of above_, as are the siblings
  std::exception_ptr cause_;
  chan<context_ended> done_{nullptr};
  context_binding* first_binding_ RT_GUARDED_BY(lock_) = nullptr;
  context_core* first_child_ RT_GUARDED_BY(lock_) = nullptr;
  context_core* next_sibling_ = nullptr;
  context_core* previous_sibling_ = nullptr;
  context_core* next_to_end_ = nullptr;  // belongs to the cancel that unlinked it
  timer_node timer_;
};

void context_retain(context_core* core) noexcept { core->own(); }
void context_release(context_core* core) noexcept { context_core::disown(core); }

context_core* context_with_end(context_core* parent, std::int64_t deadline) {
  rt::context made(new context_core(parent, context_core::kind::ends));
  if (deadline != no_deadline) made.core()->end_at(deadline);
  made.core()->own();
  return made.core();
}

context_core* context_with_value(context_core* parent, const void* key, void* value, void (*destroy)(void*) noexcept) {
  auto* core = new context_core(parent, context_core::kind::passes);
  core->set_value(key, value, destroy);
  return core;
}

context_core* context_without_cancel(context_core* parent) {
  return new context_core(parent, context_core::kind::severed);
}

void context_cancel(context_core* core, const std::exception_ptr& cause) noexcept {
  if (core != nullptr) core->end_tree(context_end::cancelled, cause);
}

const void* context_value(const context_core* core, const void* key) noexcept {
  return core == nullptr ? nullptr : core->value(key);
}

namespace {

std::error_code code_of(context_end end) noexcept {
  switch (end) {
    case context_end::none:
      break;
    case context_end::cancelled:
      return std::make_error_code(std::errc::operation_canceled);
    case context_end::deadline:
      return std::make_error_code(std::errc::timed_out);
  }
  return {};
}

[[noreturn]] void throw_end_of(const context_core& ended) { throw context_error(code_of(ended.end()), ended.cause()); }

// The word of contexts that cannot end.
constinit const std::atomic<context_end> never_ends{context_end::none};

class root_context final : public attached_context {
 public:
  root_context() : core_(new context_core(nullptr, context_core::kind::ends)) {}
  void cancel() noexcept override { core_->end_tree(context_end::cancelled, nullptr); }
  void release() noexcept override {
    context_core::disown(core_);
    delete this;
  }
  context_core& core() noexcept { return *core_; }

 private:
  context_core* const core_;
};

context_core* signal_of(const rt::context& one) noexcept {
  return one.core() == nullptr ? nullptr : one.core()->signal();
}

}  // namespace

rt::context root_context_of(group& owner) {
  attached_context* known = owner.context.load(std::memory_order_acquire);  // pairs with install_context
  if (known == nullptr) {
    auto* fresh = new root_context;
    known = owner.install_context(*fresh);
    if (known != fresh) fresh->release();
  }
  context_core& core = static_cast<root_context*>(known)->core();
  core.own();
  return rt::context(&core);
}

// What the handle and the green thread of an after_func share.
struct after_state {
  enum class phase : std::uint8_t { waiting, stopped, running };
  std::atomic<phase> now{phase::waiting};
  // Set before the first look at `now`. It may have ended when it is unparked, which is harmless (park.h).
  std::atomic<green_thread*> runner{nullptr};
};

// On the green thread of an after_func: whether its time has come.
static bool await_context_end(const rt::context& within, after_state& state) {
  green_thread* self = current_green_thread();
  state.runner.store(self, std::memory_order_seq_cst);
  context_core* signal = signal_of(within);
  context_binding binding;
  binding.owner = self;
  signal->bind(binding);
  while (state.now.load(std::memory_order_seq_cst) == after_state::phase::waiting) {
    if (signal->end() != context_end::none) break;
    if (self->domain->is_cancelled()) {
      // A stop cancels the domain first and the root context next (cancel_domain.cpp): that end is on its way.
      auto* root = static_cast<root_context*>(
          self->member_of.load(std::memory_order_relaxed)->context.load(std::memory_order_acquire));
      if (root == nullptr || !signal->ends_with(root->core())) break;
    }
    park(wait_reason::after_context);
  }
  signal->unbind(binding);
  if (signal->end() == context_end::none) return false;
  auto waiting = after_state::phase::waiting;
  return state.now.compare_exchange_strong(waiting, after_state::phase::running, std::memory_order_seq_cst);
}

}  // namespace detail

context_error::context_error(std::error_code code, std::exception_ptr cause)
    : std::system_error(
          code, code == std::errc::timed_out ? "the deadline of the context has passed" : "the context was cancelled"),
      cause_(std::move(cause)) {}

bool context::ended() const noexcept {
  detail::context_core* signal = detail::signal_of(*this);
  return signal != nullptr && signal->end() != detail::context_end::none;
}

std::error_code context::error() const noexcept {
  detail::context_core* signal = detail::signal_of(*this);
  return signal == nullptr ? std::error_code() : detail::code_of(signal->end());
}

std::exception_ptr context::cause() const noexcept { return ended() ? detail::signal_of(*this)->cause() : nullptr; }

void context::throw_if_ended() const {
  if (!ended()) return;
  // The stop of a task ends its contexts as well: it is told as cancellation, here as in a wait.
  detail::green_thread* self = detail::current_green_thread();
  if (self != nullptr && self->shield == 0 && self->domain->is_cancelled()) throw cancelled();
  detail::throw_end_of(*detail::signal_of(*this));
}

std::optional<time_point> context::deadline() const noexcept {
  std::int64_t when = core_ == nullptr ? detail::no_deadline : core_->deadline();
  if (when == detail::no_deadline) return std::nullopt;
  return time_point(duration(when));
}

chan<context_ended> context::done() const {
  detail::context_core* signal = detail::signal_of(*this);
  return signal == nullptr ? chan<context_ended>(nullptr) : signal->done();
}

context current_context() {
  detail::green_thread* self = detail::current_green_thread();
  if (self == nullptr) return {};
  if (self->obeyed == nullptr) return root_context_of(*self->member_of.load(std::memory_order_relaxed));
  detail::context_core* bound = static_cast<detail::context_binding*>(self->obeyed)->context;
  if (bound != nullptr) bound->own();
  return context(bound);
}

context_scope::context_scope(const context& within) : within_(within) {
  static_assert(sizeof(detail::context_binding) <= sizeof binding_);
  detail::green_thread* self = detail::require_green_thread("rt::context_scope");
  auto* binding = ::new (static_cast<void*>(binding_)) detail::context_binding;
  detail::context_core* signal = detail::signal_of(within_);
  binding->context = within_.core();
  binding->owner = self;
  binding->coroutine = self->carried;
  binding->shield = self->shield;
  binding->end = signal == nullptr ? &detail::never_ends : &signal->end_word();
  binding->throw_end = [](const detail::obeyed_context& ended) {
    detail::throw_end_of(*static_cast<const detail::context_binding&>(ended).context->signal());
  };
  if (signal != nullptr) signal->bind(*binding);
  binding->outer = self->obeyed;
  self->obeyed = binding;
}

context_scope::~context_scope() {
  auto* binding = std::launder(reinterpret_cast<detail::context_binding*>(binding_));
  detail::current_green_thread()->obeyed = binding->outer;  // of a coroutine, whoever carries it now
  if (detail::context_core* signal = detail::signal_of(within_); signal != nullptr) signal->unbind(*binding);
}

after_func_handle after_func(const context& within, detail::kept_function function) {
  detail::require_green_thread("rt::after_func");
  auto state = std::make_shared<detail::after_state>();
  // A context that cannot end needs no green thread to wait for it.
  if (detail::signal_of(within) != nullptr) {
    go({.stack_size = 0, .name = "after_func"}, [state, within, function = std::move(function)] {
      if (detail::await_context_end(within, *state)) function();
    });
  }
  return after_func_handle(std::move(state));
}

bool after_func_handle::stop() const noexcept {
  auto waiting = detail::after_state::phase::waiting;
  if (!state_->now.compare_exchange_strong(waiting, detail::after_state::phase::stopped, std::memory_order_seq_cst)) {
    return false;
  }
  detail::green_thread* runner = state_->runner.load(std::memory_order_seq_cst);
  if (runner != nullptr) unpark(*runner);
  return true;
}

}  // namespace rt
