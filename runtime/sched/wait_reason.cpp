#include "runtime/sched/green_thread.h"

namespace rt::detail {

const char* to_text(wait_reason reason) noexcept {
  switch (reason) {
    case wait_reason::none:
      return "";
    case wait_reason::chan_receive:
      return "chan receive";
    case wait_reason::chan_send:
      return "chan send";
    case wait_reason::chan_receive_nil:
      return "chan receive (nil chan)";
    case wait_reason::chan_send_nil:
      return "chan send (nil chan)";
    case wait_reason::select:
      return "select";
    case wait_reason::select_no_cases:
      return "select (no cases)";
    case wait_reason::io_wait:
      return "IO wait";
    case wait_reason::sleep:
      return "sleep";
    case wait_reason::mutex_lock:
      return "sync.Mutex.Lock";
    case wait_reason::condition_wait:
      return "sync.Cond.Wait";
    case wait_reason::wait_group_wait:
      return "sync.WaitGroup.Wait";
    case wait_reason::scope_wait:
      return "scope wait";
    case wait_reason::name_lookup:
      return "name lookup";
    case wait_reason::shared_mutex_lock:
      return "sync.RWMutex.Lock";
    case wait_reason::shared_mutex_lock_shared:
      return "sync.RWMutex.RLock";
    case wait_reason::semaphore_acquire:
      return "semacquire";
    case wait_reason::once_call:
      return "once";
    case wait_reason::after_context:
      return "after context";
    case wait_reason::collection:
      return "wait for GC cycle";
    case wait_reason::cleanup:
      return "cleanup wait";
    case wait_reason::coroutines:
      return "coroutine wait";
    case wait_reason::other:
      return "waiting";
  }
  return "";
}

bool is_between_green_threads(wait_reason reason) noexcept {
  switch (reason) {
    case wait_reason::none:
    case wait_reason::io_wait:
    case wait_reason::sleep:
    case wait_reason::name_lookup:
    case wait_reason::collection:
    case wait_reason::other:
      return false;
    default:
      return true;
  }
}

}  // namespace rt::detail
