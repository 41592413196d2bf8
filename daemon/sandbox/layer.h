// One layer of a host's confinement.
//
// A layer is prepared by the supervisor, where it may allocate and fail with words, and applied in the child between
// fork and exec, where it may not: the child has one thread of what was perhaps a process of several, so apply() may
// only make system calls (async-signal-safe ones), allocate nothing and take no lock.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

namespace rtd::sandbox {

class layer {
 public:
  virtual ~layer() = default;

  /// The name under which the layer is reported: in errors, in `sandbox.list`, as a metric's label. Static storage.
  virtual std::string_view name() const noexcept = 0;

  /// Confines the calling process. Returns 0, or the errno of what failed; its negative when the process is left in a
  /// state that nothing can be built on. Called in the child, see above.
  virtual int apply() const noexcept = 0;
};

/// A layer and what its failure means.
struct planned_layer {
  std::unique_ptr<const layer> what;
  bool needed = true;  ///< without it the host is not started
};

/// Layers in the order in which they are applied.
using layer_list = std::vector<planned_layer>;

}  // namespace rtd::sandbox
