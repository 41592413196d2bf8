// What higher floors hang on a green thread or on a group, and what the scheduler tells them.
#pragma once

namespace rt::detail {

/// The values of rt::local and rt::task_local.
class attached_values {
 public:
  /// Destroys the values that there are, and those that destructors ask for meanwhile. Whether there were any. May
  /// park.
  virtual bool destroy() noexcept = 0;
  /// Frees the table. Nobody may use it any more.
  virtual void release() noexcept = 0;

 protected:
  ~attached_values() = default;
};

/// The root context of a group.
class attached_context {
 public:
  /// The group's domain has been cancelled. Any thread, even a scheduler's stack.
  virtual void cancel() noexcept = 0;
  /// The group is gone: gives up the reference that it held.
  virtual void release() noexcept = 0;

 protected:
  ~attached_context() = default;
};

}  // namespace rt::detail
