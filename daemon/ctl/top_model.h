// The figures of `rtctl top`, from successive answers of rtd.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rtd::ctl {

enum class top_order { cpu, green_threads, heap, name };

/// The answers to `status` and `ps` and when they came, in seconds of a clock that never goes back.
struct top_sample {
  double at = 0;
  nlohmann::json status;
  nlohmann::json tasks;  ///< an array
};

struct sandbox_figures {
  nlohmann::json sandbox;              ///< as rtd shows it
  std::optional<double> busy_percent;  ///< of all its processors together
};

struct task_figures {
  nlohmann::json task;                ///< as rtd shows it
  std::optional<double> cpu_percent;  ///< 100: one processor all the time
  /// Bytes per second on the collected heap.
  std::optional<double> allocation_rate;
};

struct top_frame {
  nlohmann::json status;
  std::vector<sandbox_figures> sandboxes;  ///< by name
  std::vector<task_figures> tasks;
};

class top_model {
 public:
  /// The figures for the time between the former sample and this one. What is seen for the first time has no rate,
  /// unless it is younger than the former sample.
  top_frame update(const top_sample& sample);

 private:
  double last_at_ = 0;
  bool has_last_ = false;
  std::map<std::string, double> task_cpu_;     // processor seconds by sandbox/task
  std::map<std::string, double> sandbox_cpu_;  // by sandbox
  std::map<std::string, double> allocated_;    // bytes by sandbox/task
};

void sort_tasks(top_frame& frame, top_order order);

/// The frame as one JSON object, the rates as members busy_percent, cpu_percent and allocated_bytes_per_second (null
/// without a rate).
nlohmann::json to_json(const top_frame& frame);

struct top_style {
  bool headers = true;
  bool colour = false;
  std::size_t columns = 0;  ///< of the screen; 0: nothing is cut
  std::size_t rows = 0;     ///< 0: all tasks are shown
};

/// The frame as text. `clock` is what to show as the time of day.
std::string to_text(const top_frame& frame, const std::string& clock, const top_style& style);

}  // namespace rtd::ctl
