// One of the connections that a task may have: taken before a connection is made, given back when it is closed.
#pragma once

#include <memory>
#include <utility>

#include "runtime/sched/group.h"

namespace rt::net::detail {

class connection_slot {
 public:
  connection_slot() noexcept = default;
  connection_slot(connection_slot&& other) noexcept : of_(std::move(other.of_)) {}
  connection_slot& operator=(connection_slot&& other) noexcept {
    std::swap(of_, other.of_);
    return *this;
  }
  ~connection_slot() { give_back(); }

  /// False when the task has as many as it may. Once it has one it keeps that one.
  bool take(const rt::detail::group& task) noexcept {
    if (of_ != nullptr) return true;
    if (!task.connections->take()) return false;
    of_ = task.connections;
    return true;
  }
  void give_back() noexcept {
    if (auto of = std::move(of_); of != nullptr) of->give_back();
  }

 private:
  std::shared_ptr<rt::detail::connection_account> of_;
};

}  // namespace rt::net::detail
