#include "daemon/ctl/top_model.h"

#include <algorithm>

#include "daemon/ctl/fields.h"
#include "daemon/ctl/table.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

constexpr std::size_t columns_for_rates = 100;

// Processor seconds (or bytes) used since the former sample. A sum that shrank belongs to a new incarnation: all of it
// is new.
std::optional<double> used_since(const std::map<std::string, double>& former, const std::string& key, double now,
                                 std::optional<double> age, double interval) {
  const auto place = former.find(key);
  if (place != former.end()) return now >= place->second ? now - place->second : now;
  if (age && *age <= interval) return now;
  return std::nullopt;
}

json or_null(std::optional<double> value) { return value ? json(*value) : json(nullptr); }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

std::string heading(const top_frame& frame, const std::string& clock, const top_style& style) {
  const json& status = frame.status;
  const bool is_ready = flag_of(status, "ready");
  std::size_t running = 0;
  for (const auto& one : frame.tasks) running += text_of(one.task, "state") == "running" ? 1 : 0;
  const std::string left = "rtd " + safe_line(text_of(status, "version")) + "  ";
  const std::string state = is_ready ? "ready" : "not ready";
  const std::string right = "  up " + format_age(number_of(status, "uptime_seconds")) + "  tasks " +
                            std::to_string(frame.tasks.size()) + ", " + std::to_string(running) +
                            " running  green threads " + count_of(status, "green_threads") + "  " + clock;
  if (style.columns != 0 && display_width(left + state + right) > style.columns)
    return cut_to_width(left + state + right, style.columns) + '\n';
  return left + paint(state, is_ready ? tone::good : tone::bad, style.colour) + right + '\n';
}

}  // namespace

top_frame top_model::update(const top_sample& sample) {
  const double interval = has_last_ ? sample.at - last_at_ : 0;
  const auto percent = [&](std::optional<double> used, double processors) -> std::optional<double> {
    if (!has_last_ || interval <= 0 || !used || processors <= 0) return std::nullopt;
    return 100 * *used / interval / processors;
  };
  top_frame frame{sample.status, {}, {}};
  std::map<std::string, double> task_cpu;
  std::map<std::string, double> allocated;
  std::map<std::string, double> sandbox_cpu;
  std::map<std::string, double> used_by_tasks;
  for (const json& task : sample.tasks) {
    const std::string sandbox = text_of(task, "sandbox");
    const std::string key = sandbox + "/" + text_of(task, "name");
    const auto now = number_of(task, "cpu_seconds");
    std::optional<double> used;
    if (now) {
      used = used_since(task_cpu_, key, *now, number_of(task, "age_seconds"), interval);
      task_cpu[key] = *now;
    }
    if (used) used_by_tasks[sandbox] += *used;
    std::optional<double> bytes;
    if (const auto total = number_of(task, "heap_allocated_bytes")) {
      bytes = used_since(allocated_, key, *total, number_of(task, "age_seconds"), interval);
      allocated[key] = *total;
    }
    const bool has_rate = has_last_ && interval > 0 && bytes;
    frame.tasks.push_back({task, percent(used, 1), has_rate ? std::optional(*bytes / interval) : std::nullopt});
  }
  for (const json& sandbox : list_of(sample.status, "sandboxes")) {
    const std::string name = text_of(sandbox, "name");
    // The host's own figure counts the collector and the scheduler too; without it the tasks' sum has to do.
    std::optional<double> used;
    if (const auto now = number_of(sandbox, "cpu_seconds")) {
      used = used_since(sandbox_cpu_, name, *now, number_of(sandbox, "uptime_seconds"), interval);
      sandbox_cpu[name] = *now;
    } else if (text_of(sandbox, "state") == "up") {
      used = used_by_tasks[name];
    }
    frame.sandboxes.push_back({sandbox, percent(used, number_of(sandbox, "procs").value_or(0))});
  }
  std::sort(frame.sandboxes.begin(), frame.sandboxes.end(), [](const auto& left, const auto& right) {
    return text_of(left.sandbox, "name") < text_of(right.sandbox, "name");
  });
  last_at_ = sample.at;
  has_last_ = true;
  task_cpu_ = std::move(task_cpu);
  allocated_ = std::move(allocated);
  sandbox_cpu_ = std::move(sandbox_cpu);
  return frame;
}

void sort_tasks(top_frame& frame, top_order order) {
  std::stable_sort(frame.tasks.begin(), frame.tasks.end(), [](const task_figures& left, const task_figures& right) {
    return text_of(left.task, "name") < text_of(right.task, "name");
  });
  const auto by = [&](auto figure) {
    std::stable_sort(frame.tasks.begin(), frame.tasks.end(),
                     [&](const task_figures& left, const task_figures& right) { return figure(left) > figure(right); });
  };
  if (order == top_order::cpu) by([](const task_figures& one) { return one.cpu_percent.value_or(-1); });
  if (order == top_order::green_threads)
    by([](const task_figures& one) { return number_of(one.task, "green_threads").value_or(-1); });
  if (order == top_order::heap)
    by([](const task_figures& one) { return number_of(one.task, "heap_bytes").value_or(-1); });
}

json to_json(const top_frame& frame) {
  json result{{"ready", flag_of(frame.status, "ready")},
              {"uptime_seconds", member_of(frame.status, "uptime_seconds")},
              {"green_threads", member_of(frame.status, "green_threads")},
              {"sandboxes", json::array()},
              {"tasks", json::array()}};
  for (const auto& one : frame.sandboxes) {
    json sandbox = one.sandbox;
    sandbox["busy_percent"] = or_null(one.busy_percent);
    result["sandboxes"].push_back(std::move(sandbox));
  }
  for (const auto& one : frame.tasks) {
    json task = one.task;
    task["cpu_percent"] = or_null(one.cpu_percent);
    task["allocated_bytes_per_second"] = or_null(one.allocation_rate);
    result["tasks"].push_back(std::move(task));
  }
  return result;
}

std::string to_text(const top_frame& frame, const std::string& clock, const top_style& style) {
  const table_style how{style.headers, style.colour, style.columns};
  table sandboxes({{"SANDBOX"},
                   {"STATE"},
                   {"PROCS", side::right},
                   {"BUSY%", side::right},
                   {"GREEN", side::right},
                   {"HEAP", side::right},
                   {"RSS", side::right},
                   {"RESTARTS", side::right},
                   {"UPTIME", side::right}});
  for (const auto& [sandbox, busy] : frame.sandboxes)
    sandboxes.add({text_of(sandbox, "name"), state_cell(sandbox), count_of(sandbox, "procs"), format_percent(busy),
                   count_of(sandbox, "green_threads"), format_bytes(number_of(sandbox, "heap_bytes")),
                   format_bytes(number_of(sandbox, "rss_bytes")), count_of(sandbox, "restarts"),
                   age_text(sandbox, "uptime_seconds")});
  // On a narrow screen the status is worth more than the rate.
  const bool has_rates = style.columns == 0 || style.columns >= columns_for_rates;
  std::vector<column> columns{{"TASK"},
                              {"SANDBOX"},
                              {"PLUGIN"},
                              {"STATE"},
                              {"CPU%", side::right},
                              {"GREEN", side::right},
                              {"HEAP", side::right}};
  if (has_rates) columns.push_back({"ALLOC/S", side::right});
  columns.insert(columns.end(), {{"AGE", side::right}, {"STATUS", side::left, true}});
  table tasks(std::move(columns));
  for (const auto& [task, cpu, rate] : frame.tasks) {
    std::vector<cell> row{text_of(task, "name"),
                          text_of(task, "sandbox"),
                          text_of(task, "plugin"),
                          state_cell(task),
                          format_percent(cpu),
                          count_of(task, "green_threads"),
                          format_bytes(number_of(task, "heap_bytes"))};
    if (has_rates) row.push_back(format_bytes(rate));
    row.push_back(age_text(task, "age_seconds"));
    row.push_back(task_remark(task));
    tasks.add(std::move(row));
  }

  std::string text = heading(frame, clock, style) + '\n' + sandboxes.render(how) + '\n';
  text += tasks.empty() ? "No tasks.\n" : tasks.render(how);
  if (style.rows == 0) return text;
  std::vector<std::string> lines = lines_of(text);
  if (lines.size() > style.rows) {
    const std::size_t hidden = lines.size() - style.rows + 1;
    lines.resize(style.rows - 1);
    lines.push_back("… " + std::to_string(hidden) + " more");
  }
  text.clear();
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace rtd::ctl
