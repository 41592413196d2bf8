// What the supervisor can ask of a host.
//
// Requests come in on the link's thread and most are answered there; none of them waits for a green thread, so figures
// are answered even when all Ps spin. What may take long (loading a plugin runs its constructors, setting the number of
// Ps stops the world, dumps and releases walk over memory) runs on a thread of its own and is answered when it is done.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/host/link.h"
#include "daemon/host/plugin_loader.h"
#include "daemon/host/task_table.h"
#include "daemon/sandbox/confine.h"
#include "rt/chan.h"
#include "rt/runtime.h"
#include "runtime/net/owned_fd.h"
#include "runtime/task/log_queue.h"

namespace rtd::host {

class host_service {
 public:
  /// Threads that answer slow requests at the same time; more requests are answered with "busy".
  static constexpr int most_jobs = 8;

  /// `confinement` is what the process did to itself at its start.
  host_service(link_writer& link, std::string sandbox, rtd::sandbox::confinement_report confinement);
  host_service(const host_service&) = delete;
  host_service& operator=(const host_service&) = delete;

  // --- the link's thread ---
  /// A descriptor that came with the link's bytes; for the next request that says it has some.
  void take_descriptor(int descriptor) { descriptors_.emplace_back(descriptor); }
  /// Answers one frame's payload, now or later. False when the link is closed.
  bool handle(std::string_view payload);
  /// As the request "shutdown".
  void shut_down(std::chrono::nanoseconds grace);
  /// Does what is due by the clock. Returns the milliseconds until it wants to be called again, -1 for never; and
  /// sets `gave_up` when tasks outlived the grace of a shutdown.
  int tick(bool& gave_up);
  /// The end of the link: the main thread goes on if it still waits for a configuration.
  void link_closed();

  // --- the main thread ---
  /// Waits for host.configure. Nothing: shut down before.
  std::optional<rt::run_options> wait_for_configuration();
  /// Answers host.configure, with an error when `problem` is not empty.
  void runtime_started(const std::string& problem);
  /// Blocks a green thread until all tasks have ended after a shutdown.
  void wait_for_end();

  task_table& tasks() noexcept { return tasks_; }
  const std::shared_ptr<rt::detail::log_queue>& log() const noexcept { return log_; }

 private:
  using json = nlohmann::json;

  json answer(const std::string& method, const json& params, std::vector<rt::net::detail::owned_fd> descriptors);
  std::function<json()> slow_answer(const std::string& method, const json& params);
  bool reply(const json& id, const std::function<json()>& make);
  void configure(const json& id, const json& params);
  json start_task(const json& params, std::vector<rt::net::detail::owned_fd> sockets);
  bool take_descriptors(const json& message, std::vector<rt::net::detail::owned_fd>& to);
  json stop_task(const json& params);
  json share_task(const json& params);
  json limit_task(const json& params);
  json statistics();
  json heap_profile(const std::string& task, bool collects);
  json set(const json& params);
  void run_job(const json& id, std::function<json()> make);
  void require_running() const;

  enum class phase { unconfigured, starting, running, ending };

  link_writer& link_;
  const std::string sandbox_;
  const rtd::sandbox::confinement_report confinement_;
  std::shared_ptr<rt::detail::log_queue> log_ = std::make_shared<rt::detail::log_queue>();
  task_table tasks_{log_};
  plugin_loader plugins_;
  rt::chan<int> end_{1};
  std::deque<rt::net::detail::owned_fd> descriptors_;  // the link's thread's
  std::atomic<int> jobs_{0};

  mutable std::mutex lock_;
  std::condition_variable changed_;
  phase phase_ = phase::unconfigured;
  rt::run_options options_;
  json configure_id_;
  std::optional<task_table::clock::time_point> shutdown_deadline_;  // the link's thread's
  bool end_sent_ = false;                                           // the link's thread's
};

}  // namespace rtd::host
