// What the frame of every coroutine of the runtime begins its promise with. Internal to rt/coroutine.h.
#pragma once

#include <exception>

namespace rt::detail {

struct coroutine_record;

struct coroutine_frame {
  void* handle = nullptr;                 // std::coroutine_handle's address
  coroutine_frame* awaited_by = nullptr;  // null: nobody, it was started by rt::go
  coroutine_record* record = nullptr;     // of the one that was, once it runs
  std::exception_ptr error;
};

}  // namespace rt::detail
