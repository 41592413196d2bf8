// exit(), as plugins see it.
//
// A plugin that calls exit() would run the destructors of everything static while the runtime's threads go on using it,
// and so end in a crash that tells nothing. rtd-host exports its own exit, which plugins find before the C library's:
// it says who called, and ends the process at once with the status that was asked for.
#include "daemon/host/plugin_exit.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "daemon/host/log_drain.h"
#include "rt/runtime.h"
#include "rt/task.h"

namespace rtd::host {

namespace {

// Where to tell; a replacement of a C function gets no argument of ours.
std::atomic<link_writer*> the_link{nullptr};

}  // namespace

void report_exits_to(link_writer& link) noexcept { the_link.store(&link); }

void announce_exit(int status) {
  link_writer* link = the_link.load();
  if (link == nullptr) return;
  std::string message = "the plugin called exit(" + std::to_string(status) + "), which ends the host and all its tasks";
  rt::detail::log_line line{nullptr, rt::log_level::error, std::chrono::system_clock::now(), message};
  if (const rt::task* task = rt::this_task()) {
    line.task = std::make_shared<const rt::detail::task_identity>(
        rt::detail::task_identity{std::string(task->name()), std::string(task->plugin()), std::string(task->entry())});
  }
  link->send(to_json(line));
}

}  // namespace rtd::host

extern "C" __attribute__((visibility("default"))) void exit(int status) noexcept {
  try {
    rtd::host::announce_exit(status);
  } catch (const std::exception&) {
    // Whatever it is, the process ends now.
  }
  _exit(status);
}
