#include "daemon/supervisor/state_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "daemon/supervisor/state_file.h"

namespace rtd::supervisor {

state_store::state_store(services with, const std::string& folder)
    : with_(with), folder_(folder), file_(folder + "/state.json") {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) throw std::runtime_error("state folder " + folder_ + " cannot be made: " + error.message());
  const std::string lock_file = folder_ + "/state.lock";
  lock_ = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_ < 0)
    throw std::runtime_error("state folder " + folder_ + " cannot be used: " + lock_file + ": " + std::strerror(errno) +
                             "; give the daemon's user the folder, or another --state-dir");
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    ::close(lock_);
    throw std::runtime_error("state folder " + folder_ +
                             (why == EWOULDBLOCK ? " is in use by another rtd; give each its own --state-dir"
                                                 : std::string(" cannot be locked: ") + std::strerror(why)));
  }
  figures_.saves_total = {{"success", 0}, {"failure", 0}};
  writer_ = std::thread([this] { write_on(); });
}

state_store::~state_store() {
  *alive_ = false;
  {
    const std::lock_guard held(guard_);
    ending_ = true;
  }
  changed_.notify_one();
  writer_.join();
  ::close(lock_);
}

nlohmann::json state_store::load() {
  std::string problem;
  try {
    const auto text = read_state_file(file_);
    if (!text) return nlohmann::json::object();
    decoded_state read = decode_state(*text);
    if (read.content) return std::move(*read.content);
    problem = file_ + ": " + read.problem;
  } catch (const std::runtime_error& error) {
    problem = error.what();
  }
  ++figures_.set_aside_total;
  std::string what_follows;
  try {
    what_follows = "it is set aside as " + set_aside(file_);
  } catch (const std::runtime_error& error) {
    what_follows = std::string("it cannot be set aside (") + error.what() + ") and will be overwritten";
  }
  with_.events.add(log_level::error, "state_refused", {}, {},
                   "the state file cannot be used: " + problem + "; " + what_follows +
                       ", and the daemon starts without what it held: histories, counts, tasks started by hand",
                   {{"file", file_}});
  return nlohmann::json::object();
}

void state_store::save(const nlohmann::json& content, save_done done) {
  std::string text = encode_state(content);
  {
    const std::lock_guard held(guard_);
    waiting_ = std::move(text);
    to_tell_.push_back(std::move(done));
  }
  changed_.notify_one();
}

// The writer's thread.
void state_store::write_on() {
  for (;;) {
    std::string text;
    std::vector<save_done> told;
    {
      std::unique_lock held(guard_);
      changed_.wait(held, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      text.swap(waiting_);
      told.swap(to_tell_);
    }
    std::string problem;
    try {
      write_state_file(file_, text);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    with_.events_loop.post([this, alive = alive_, problem, bytes = text.size(), told = std::move(told)] {
      if (*alive) written(problem, bytes, told);
    });
  }
}

void state_store::written(const std::string& problem, std::size_t bytes, const std::vector<save_done>& told) {
  ++figures_.saves_total[problem.empty() ? "success" : "failure"];
  if (problem.empty()) {
    figures_.last_save_timestamp_seconds =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    figures_.bytes = bytes;
  }
  // Said when it begins and when it is over, not for every save in between.
  if (problem_.empty() && !problem.empty())
    with_.events.add(log_level::error, "state_save_failed", {}, {},
                     "the state is not saved: " + problem + "; it is tried again with each change");
  if (!problem_.empty() && problem.empty())
    with_.events.add(log_level::info, "state_saved", {}, {}, "the state is saved again: " + file_);
  problem_ = problem;
  for (const auto& done : told)
    if (done) done(problem);
}

}  // namespace rtd::supervisor
