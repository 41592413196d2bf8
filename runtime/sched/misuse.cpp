#include "runtime/sched/misuse.h"

#include <exception>

#include "rt/usage_error.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/group.h"

namespace rt::detail {

void report_misuse(const char* text) noexcept {
  group* owner = current_group();
  if (owner == nullptr || owner->on_exception == nullptr) os::fatal("%s", text);
  // The group's hook and not the scope's: a scope would rethrow the error where it may be caught and forgotten, while
  // the data that the lock was to protect may be in any state.
  std::exception_ptr error;
  try {
    error = std::make_exception_ptr(usage_error(text));
  } catch (...) {
    error = std::current_exception();  // no memory for the text
  }
  owner->on_exception(*owner, std::move(error));
  owner->domain.cancel();
}

}  // namespace rt::detail
