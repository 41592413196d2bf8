// Looking up host names on threads of their own, because getaddrinfo blocks (files, DNS) and cannot be told not to.
//
// A green thread hands its question to the pool and parks; a helper thread answers. There are at most so many helpers
// as the pool allows, made when needed, and one that had nothing to do for a while ends. A green thread that gives up
// (its deadline passed, it was cancelled) leaves its question behind: both hold a share of it, and whoever lets go last
// frees it with its answer. A question that nobody waits for any more is not asked.
//
// Rejected: rt::blocking around getaddrinfo (a dead name server would hold one kernel thread for each question, without
// bound, and neither deadline nor cancellation could end the wait); a DNS client of our own (the system's configuration
// has more to it than DNS: nsswitch, mDNS, LDAP).
#pragma once

#include <netdb.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/net/failure.h"
#include "runtime/net/socket_address.h"
#include "runtime/os/spin_lock.h"

namespace rt::net::detail {

class lookup_pool {
 public:
  /// What asks the system: as getaddrinfo, and its answer is freed by freeaddrinfo.
  using resolver = int (*)(const char* host, const char* service, const addrinfo* hints, addrinfo** answer);

  /// `idle_time`: how long a helper waits for the next question before it ends, in ns.
  lookup_pool(int most_helpers, std::int64_t idle_time, resolver asks = &getaddrinfo) noexcept;
  lookup_pool(const lookup_pool&) = delete;
  lookup_pool& operator=(const lookup_pool&) = delete;
  /// Waits for the helpers to end; nobody may be in look_up.
  ~lookup_pool();

  /// The stream addresses of `host`, with port 0, in the order in which they should be tried. `family` is AF_UNSPEC,
  /// AF_INET or AF_INET6. Parks a green thread up to `deadline` (steady clock, ns); on other threads and inside
  /// rt::blocking it asks on the spot, and the deadline is not watched. Throws rt::cancelled and std::bad_alloc.
  failure look_up(const std::string& host, int family, std::int64_t deadline, std::vector<socket_address>& addresses);

  /// Helper threads that exist.
  int helpers() noexcept;

 private:
  struct question;

  failure submit(const std::shared_ptr<question>& one);
  failure evaluate(const question& one, std::vector<socket_address>& addresses) const;
  void ask(question& one) const noexcept;
  std::shared_ptr<question> next_question();
  int start_helper() noexcept;
  bool take_back(const question& one) noexcept RT_REQUIRES(lock_);
  void end_helper() noexcept RT_REQUIRES(lock_);
  void help() noexcept;
  static void* helper_main(void* pool) noexcept;

  const int most_helpers_;
  const std::int64_t idle_time_;
  const resolver ask_;
  os::spin_lock lock_{os::lock_rank::poll};
  std::shared_ptr<question> first_ RT_GUARDED_BY(lock_);
  question* last_ RT_GUARDED_BY(lock_) = nullptr;
  int queued_ RT_GUARDED_BY(lock_) = 0;
  int helpers_ RT_GUARDED_BY(lock_) = 0;
  int idle_ RT_GUARDED_BY(lock_) = 0;
  bool stopping_ RT_GUARDED_BY(lock_) = false;
  std::atomic<std::uint32_t> arrivals_{0};  // futex: grows with each question
  std::atomic<std::uint32_t> ends_{0};      // futex: grows with each helper that ends
};

/// The pool of the process; never destroyed, since a name server may keep a helper for a minute.
lookup_pool& shared_lookup_pool();

}  // namespace rt::net::detail
