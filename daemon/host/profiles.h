// The host's profiles as files for pprof, with Go's names of values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/profile.h"

namespace rtd::host {

/// Whether a function is the runtime's, by its readable name: "rt::detail::allocate(…)", "node* rt::make<node>()".
bool is_of_the_runtime(std::string_view function) noexcept;

/// What the samples of a profile are labelled with beside the task.
struct profile_labels {
  std::string sandbox;
  struct task_plugin {
    std::string task;
    std::string plugin;
  };
  std::vector<task_plugin> plugins;  ///< of the tasks that there are
};

/// The heap profile as a file of pprof, compressed, as `go tool pprof` reads it: alloc_objects, alloc_space,
/// inuse_objects, inuse_space, each sample with the labels sandbox, plugin and task. Of one task, or of all when it is
/// empty. `rate` is the number of bytes that a sample stands for on average. @throws std::bad_alloc
std::string heap_profile_file(std::span<const rt::heap_record> records, std::string_view task, std::size_t rate,
                              const profile_labels& labels);

}  // namespace rtd::host
