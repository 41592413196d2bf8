// Who may reach whose objects: the groups of green threads that can have a channel, a mutex or a wait group in common.
//
// C++ does not tell who holds a pointer. But tasks of one plugin share its globals, and tasks of different plugins
// share nothing that they could wake each other by, since plugins are loaded apart from each other (RTLD_LOCAL). So
// each plugin is one domain; a group for which nothing is known, as that of a plain program, belongs to the domain that
// shares with all. deadlock_watch.h uses this.
//
// A domain counts its armed timers, for a timer is somebody who may wake, too. Each P's heap counts in a line of its
// own, under the heap's lock, so counting costs no atomic addition and no shared line.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "runtime/sched/group.h"

namespace rt::detail {

struct sharing_domain {
  struct alignas(64) timer_count {
    std::atomic<std::uint64_t> armed{0};  // so far; only grows
    std::atomic<std::uint64_t> over{0};   // fired or stopped so far
  };

  explicit sharing_domain(std::string domain_name) : name(std::move(domain_name)) {}
  sharing_domain(const sharing_domain&) = delete;
  sharing_domain& operator=(const sharing_domain&) = delete;

  bool shares_with(const sharing_domain& other) const noexcept;

  const std::string name;  // of the plugin; empty: shares with all
  std::array<timer_count, most_procs> timers;
};

/// The domain of this name, the same one at each call. Never destroyed: a timer may outlive the last task of a plugin.
sharing_domain& domain_named(std::string_view name);
/// The one that shares with all others.
sharing_domain& shared_by_all() noexcept;

/// Calls `visit(domain)` for each domain that was ever named, and the one that shares with all. `visit` must be short.
void for_each_domain(const std::function<void(const sharing_domain&)>& visit);

}  // namespace rt::detail
