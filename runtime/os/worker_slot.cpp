#include "runtime/os/worker_slot.h"

__thread void* rt_worker_slot = nullptr;

namespace rt::os {

__attribute__((noinline)) void set_worker_slot(worker_head* worker) noexcept {
  rt_worker_slot = worker;
  asm volatile("" ::: "memory");
}

}  // namespace rt::os
