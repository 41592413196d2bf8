// The daemon's state folder: its state file, and the lock that keeps a second daemon out.
//
// Saving happens on a thread of the store's own: a disk may take seconds to say that it has something, and the loop
// waits for nobody. While one document is being written, only the newest of those that follow is kept; each save is
// told its outcome, the overtaken ones that of the one that overtook them, which holds all that they held.
//
// Invariants:
//   1. A save that was told "good" is on the disk.
//   2. Saves reach the disk in the order in which they were asked for.
//   3. A file that cannot be used never keeps the daemon from starting, and is never lost: it is set aside.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "daemon/metrics/snapshot.h"
#include "daemon/supervisor/services.h"

namespace rtd::supervisor {

class state_store {
 public:
  /// `problem` is empty when the disk has the document, and says otherwise what went wrong.
  using save_done = std::function<void(const std::string& problem)>;

  /// Makes the folder and takes its lock. @throws std::runtime_error naming the folder and what to do.
  state_store(services with, const std::string& folder);
  /// Waits for the save that is under way; those that wait behind it are written too.
  ~state_store();
  state_store(const state_store&) = delete;
  state_store& operator=(const state_store&) = delete;

  const std::string& file() const noexcept { return file_; }

  /// The document of the file; an empty object when there is none, or when it could not be used and was set aside.
  /// Blocks on the disk: for the start.
  nlohmann::json load();

  /// Writes a document. `done` is called on the loop.
  void save(const nlohmann::json& content, save_done done);

  const metrics::state_figures& figures() const noexcept { return figures_; }
  /// What went wrong with the last save; empty when it was good.
  const std::string& problem() const noexcept { return problem_; }

 private:
  void write_on();
  void written(const std::string& problem, std::size_t bytes, const std::vector<save_done>& told);

  services with_;
  std::string folder_;
  std::string file_;
  int lock_ = -1;
  metrics::state_figures figures_;
  std::string problem_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::mutex guard_;
  std::condition_variable changed_;
  bool ending_ = false;             // guarded by guard_, as are the next two
  std::string waiting_;             // the text to write next; empty: none
  std::vector<save_done> to_tell_;  // of that text
  std::thread writer_;
};

}  // namespace rtd::supervisor
