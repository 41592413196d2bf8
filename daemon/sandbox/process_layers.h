// The layers that every host gets, on every kernel and without any privilege.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/sandbox/layer.h"

namespace rtd::sandbox {

/// "parent_death": the host is killed when the thread that started it ends, so no host outlives its supervisor.
/// `parent` is the process id that the child must find as its parent, else that has happened already.
std::unique_ptr<const layer> make_parent_death_layer(pid_t parent);

/// "session": a session and process group of its own (no terminal, and the group can be killed as a whole), working
/// directory "/", files private by default.
std::unique_ptr<const layer> make_session_layer();

/// "signals": all signals have their default action and none is blocked.
std::unique_ptr<const layer> make_signal_layer();

/// "descriptors": the child has the descriptors of `keep` under the numbers 0 to keep.size() - 1, in that order, and
/// nothing else but `report`, which becomes the number keep.size() and closes by itself at exec. All of them must be
/// larger than keep.size(), so that none is overwritten before it was moved.
std::unique_ptr<const layer> make_descriptor_layer(std::vector<int> keep, int report);

/// Resource limits; absent ones are inherited.
struct resource_limits {
  std::optional<rlim_t> open_files;
  std::optional<rlim_t> processes;
  std::optional<rlim_t> file_size;
  std::optional<rlim_t> core;
};

/// "rlimits": soft and hard limits alike. A limit above the hard one that the supervisor itself has, and may not raise,
/// becomes that one; ask clamped_limits() afterwards.
std::unique_ptr<const layer> make_rlimit_layer(const resource_limits& limits);

/// "no_new_privs": no program that the host might start gains a privilege from its file.
std::unique_ptr<const layer> make_no_new_privs_layer();

/// Which limits of the process `pid` are lower than `limits` asked for, in words.
std::vector<std::string> clamped_limits(pid_t pid, const resource_limits& limits);

}  // namespace rtd::sandbox
