#include "runtime/net/lookup_pool.h"

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "runtime/os/futex.h"
#include "runtime/os/thread_census.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/park.h"
#include "runtime/sched/virtual_time.h"

namespace rt::net::detail {

using rt::detail::green_thread;

namespace {

constexpr int shared_pool_helpers = 8;
constexpr std::int64_t shared_pool_idle_time = 10'000'000'000;
// The resolver and its plugins (nsswitch) keep packets and lines on the stack.
constexpr std::size_t helper_stack_size = 512 * 1024;

// The address of errno must not be kept over a park: see system_calls.h.
__attribute__((noinline)) int call_resolver(lookup_pool::resolver ask, const std::string& host, int family,
                                            addrinfo** answer, int* system_error) noexcept {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  int status = ask(host.c_str(), nullptr, &hints, answer);
  *system_error = status == EAI_SYSTEM ? errno : 0;
  return status;
}

}  // namespace

struct lookup_pool::question {
  question(std::string name, int wanted_family, green_thread* asking)
      : host(std::move(name)), family(wanted_family), waiter(asking) {}
  ~question() {
    if (answer != nullptr) freeaddrinfo(answer);
  }

  const std::string host;
  const int family;
  std::shared_ptr<question> next;  // guarded by the pool's lock

  os::spin_lock lock{os::lock_rank::poll};
  green_thread* waiter RT_GUARDED_BY(lock);  // null: gave up
  bool done RT_GUARDED_BY(lock) = false;
  // Written by the helper before `done`, read by the waiter after it.
  addrinfo* answer = nullptr;
  int status = 0;
  int system_error = 0;
};

lookup_pool::lookup_pool(int most_helpers, std::int64_t idle_time, resolver asks) noexcept
    : most_helpers_(most_helpers), idle_time_(idle_time), ask_(asks) {}

lookup_pool::~lookup_pool() {
  {
    os::spin_guard guard(lock_);
    stopping_ = true;
  }
  arrivals_.fetch_add(1, std::memory_order_release);
  os::futex_wake(arrivals_, INT32_MAX);
  while (true) {
    std::uint32_t seen = ends_.load(std::memory_order_acquire);
    if (helpers() == 0) break;
    os::futex_wait(ends_, seen, -1);
  }
  // The last helper has given up the lock for the last time once it can be had again.
  os::spin_guard guard(lock_);
}

int lookup_pool::helpers() noexcept {
  os::spin_guard guard(lock_);
  return helpers_;
}

failure lookup_pool::look_up(const std::string& host, int family, std::int64_t deadline,
                             std::vector<socket_address>& addresses) {
  rt::detail::worker* worker = rt::detail::current_worker();
  green_thread* self = worker == nullptr || worker->blocking_depth != 0 ? nullptr : worker->current;
  auto mine = std::make_shared<question>(host, family, self);
  if (self == nullptr) {
    ask(*mine);
    return evaluate(*mine, addresses);
  }
  rt::detail::outside_wait helped;
  if (failure refused = submit(mine)) return refused;
  while (true) {
    bool cancelled = rt::detail::cancellation_pending(*self);
    bool late = deadline != INT64_MAX && deadline <= rt::detail::runtime_now();
    {
      // Under this lock, because the helper unparks under it: it never touches a green thread that has gone on.
      os::spin_guard guard(mine->lock);
      if (mine->done) break;
      if (cancelled || late) mine->waiter = nullptr;
    }
    if (cancelled) rt::detail::throw_if_cancellation_pending(*self);
    if (late) return failure(errc::timed_out, "the name look-up took too long");
    rt::detail::park_until(rt::detail::wait_reason::name_lookup, deadline);
  }
  return evaluate(*mine, addresses);
}

failure lookup_pool::evaluate(const question& one, std::vector<socket_address>& addresses) const {
  switch (one.status) {
    case 0:
      break;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return failure(errc::not_found, "host \"" + one.host + "\"");
    case EAI_MEMORY:
      return failure(std::make_error_code(std::errc::not_enough_memory));
    case EAI_SYSTEM:
      return failure(std::error_code(one.system_error, std::system_category()), "host \"" + one.host + "\"");
    default:
      return failure(errc::lookup_failed, "host \"" + one.host + "\": " + gai_strerror(one.status));
  }
  for (const addrinfo* each = one.answer; each != nullptr; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    addresses.emplace_back(each->ai_addr, each->ai_addrlen);
  }
  if (addresses.empty()) return failure(errc::not_found, "host \"" + one.host + "\"");
  return {};
}

void lookup_pool::ask(question& one) const noexcept {
  one.status = call_resolver(ask_, one.host, one.family, &one.answer, &one.system_error);
}

failure lookup_pool::submit(const std::shared_ptr<question>& one) {
  bool start;
  {
    os::spin_guard guard(lock_);
    (last_ == nullptr ? first_ : last_->next) = one;
    last_ = one.get();
    ++queued_;
    start = idle_ < queued_ && helpers_ < most_helpers_;
    if (start) ++helpers_;
  }
  if (int error = start ? start_helper() : 0; error != 0) {
    os::spin_guard guard(lock_);
    --helpers_;
    // The others will come to it, if there are any.
    if (helpers_ == 0 && take_back(*one)) {
      return failure(std::error_code(error, std::system_category()), "no thread could be started for a name look-up");
    }
  }
  arrivals_.fetch_add(1, std::memory_order_release);
  os::futex_wake(arrivals_, 1);
  return {};
}

int lookup_pool::start_helper() noexcept {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, helper_stack_size);
  sigset_t all;
  sigfillset(&all);
  // Signals are for the threads that expect them; but what the thread itself does wrong must reach its handler: a system
  // call that a filter refuses (SIGSYS) ends the process where that signal is blocked.
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, fault);
  pthread_attr_setsigmask_np(&attributes, &all);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, &helper_main, this);
  pthread_attr_destroy(&attributes);
  return error;
}

bool lookup_pool::take_back(const question& one) noexcept {
  question* before = nullptr;
  for (question* each = first_.get(); each != nullptr; before = each, each = each->next.get()) {
    if (each != &one) continue;
    // The caller has a share of its own, so nothing is freed here.
    std::shared_ptr<question>& link = before == nullptr ? first_ : before->next;
    link = std::move(each->next);
    if (last_ == each) last_ = before;
    --queued_;
    return true;
  }
  return false;
}

std::shared_ptr<lookup_pool::question> lookup_pool::next_question() {
  os::spin_guard guard(lock_);
  std::shared_ptr<question> one = std::move(first_);
  if (one == nullptr) return nullptr;
  first_ = std::move(one->next);
  if (first_ == nullptr) last_ = nullptr;
  --queued_;
  return one;
}

void* lookup_pool::helper_main(void* pool) noexcept {
  os::own_thread counted;
  pthread_setname_np(pthread_self(), "rt-name-lookup");
  static_cast<lookup_pool*>(pool)->help();
  return nullptr;
}

void lookup_pool::help() noexcept {
  while (true) {
    std::uint32_t seen = arrivals_.load(std::memory_order_acquire);  // before the look into the queue
    if (std::shared_ptr<question> one = next_question(); one != nullptr) {
      {
        os::spin_guard guard(one->lock);
        if (one->waiter == nullptr) continue;
      }
      ask(*one);
      os::spin_guard guard(one->lock);
      one->done = true;
      if (one->waiter != nullptr) rt::detail::unpark(*one->waiter);
      continue;
    }
    {
      os::spin_guard guard(lock_);
      if (stopping_ && queued_ == 0) {
        end_helper();
        return;
      }
      ++idle_;
    }
    bool in_time = os::futex_wait(arrivals_, seen, idle_time_);
    os::spin_guard guard(lock_);
    --idle_;
    if (!in_time && queued_ == 0) {
      end_helper();
      return;
    }
  }
}

// The last that a helper does under the lock; once that is free, the owner may destroy the pool.
void lookup_pool::end_helper() noexcept {
  --helpers_;
  ends_.fetch_add(1, std::memory_order_release);
  os::futex_wake(ends_, INT32_MAX);
}

lookup_pool& shared_lookup_pool() {
  static lookup_pool& instance = *new lookup_pool(shared_pool_helpers, shared_pool_idle_time);
  return instance;
}

}  // namespace rt::net::detail
