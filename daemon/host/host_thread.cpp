#include "daemon/host/host_thread.h"

#include <pthread.h>

#include "runtime/os/thread.h"

namespace rtd::host {

signal_stack::signal_stack() noexcept : memory_(rt::os::install_signal_stack()) {}

signal_stack::~signal_stack() { rt::os::remove_signal_stack(memory_); }

void name_thread(const char* name) noexcept { pthread_setname_np(pthread_self(), name); }

}  // namespace rtd::host
