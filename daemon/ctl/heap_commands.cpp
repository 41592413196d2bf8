// rtctl gc …, rtctl heap …
#include <cerrno>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/units.h"
#include "daemon/ctl/views.h"
#include "daemon/protocol/base64.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

json about(const std::string& sandbox) { return sandbox.empty() ? json::object() : json{{"sandbox", sandbox}}; }

// A size, or a word for what is null.
std::string size_or(const json& object, std::string_view key, const char* word) {
  const auto number = number_of(object, key);
  return number ? format_bytes(number) : word;
}

int run_collection(command_context& context, const std::string& sandbox) {
  console& terminal = context.terminal();
  json answer = context.call_and_wait("gc.run", about(sandbox));
  sort_list(answer, "sandboxes", "name");
  if (terminal.is_json()) {
    terminal.write_json(answer, "sandboxes");
    return 0;
  }
  if (terminal.is_quiet()) return 0;
  table rows({{"SANDBOX"},
              {"LIVE", side::right},
              {"HEAP", side::right},
              {"STACKS", side::right},
              {"MALLOC", side::right},
              {"TIME", side::right}});
  for (const json& one : list_of(answer, "sandboxes"))
    rows.add({text_of(one, "name"), format_bytes(number_of(one, "live_bytes")),
              format_bytes(number_of(one, "heap_bytes")), format_bytes(number_of(one, "stack_bytes")),
              format_bytes(number_of(one, "malloc_bytes")), format_seconds(number_of(one, "duration_seconds"))});
  terminal.write_table(rows, "No sandbox is up.");
  return 0;
}

// The bound of the bucket in which the part `part` of all values lies; nothing without values, "more" beyond the last.
std::string quantile_of(const json& histogram, double part) {
  const json& bounds = list_of(histogram, "bounds_seconds");
  const json& counts = list_of(histogram, "counts");
  double all = 0;
  for (const json& count : counts) all += count.is_number() ? count.get<double>() : 0;
  if (all <= 0) return "";
  double seen = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    seen += counts[i].is_number() ? counts[i].get<double>() : 0;
    if (seen < part * all) continue;
    if (i < bounds.size() && bounds[i].is_number()) return "<= " + format_seconds(bounds[i].get<double>());
    return "more";
  }
  return "";
}

void print_collector(console& terminal, const json& one) {
  const auto line = [&](const std::string& title, const std::string& text) {
    terminal.write("  " + title + std::string(title.size() < 18 ? 18 - title.size() : 1, ' ') + text + "\n");
  };
  const auto histogram = [&](const std::string& title, std::string_view key) {
    const json& values = member_of(one, key);
    const std::string most = quantile_of(values, 1);
    line(title, most.empty()
                    ? "-"
                    : "p50 " + quantile_of(values, 0.5) + ", p99 " + quantile_of(values, 0.99) + ", all " + most);
  };
  terminal.write("sandbox " + safe_line(text_of(one, "name")) + "\n");
  const auto percent = number_of(one, "percent");
  line("percent", percent ? text_of(one, "percent") : "off");
  line("memory limit", size_or(one, "memory_limit_bytes", "none"));
  line("live", format_bytes(number_of(one, "live_bytes")) + ", now " + format_bytes(number_of(one, "alloc_bytes")) +
                   ", goal " + size_or(one, "goal_bytes", "none"));
  line("cycles", count_of(one, "cycles_total") + ": growth " + count_of(one, "cycles_growth_total") + ", forced " +
                     count_of(one, "cycles_forced_total") + ", time " + count_of(one, "cycles_period_total") +
                     ", task limit " + count_of(one, "cycles_task_limit_total") + ", task end " +
                     count_of(one, "cycles_task_end_total"));
  line("now", flag_of(one, "is_marking") ? "marking" : "idle");
  line("CPU time", "background " + format_seconds(number_of(one, "background_seconds_total")) + ", idle " +
                       format_seconds(number_of(one, "idle_seconds_total")) + ", assist " +
                       format_seconds(number_of(one, "assist_seconds_total")) + ", stopped " +
                       format_seconds(number_of(one, "pause_seconds_total")) + ", " +
                       format_percent(number_of(one, "cpu_fraction").value_or(0) * 100) + "% of all");
  histogram("time to stop", "stops");
  histogram("pause, begin", "begin_pauses");
  histogram("pause, end", "end_pauses");
  line("roots", "stacks " + format_bytes(number_of(one, "scanned_stack_bytes")) + ", globals " +
                    format_bytes(number_of(one, "scanned_global_bytes")));
  line("refused", "by task limits " + count_of(one, "limit_failures_total") + ", for want of memory " +
                      count_of(one, "memory_failures_total"));
}

int show_collectors(command_context& context, const std::string& sandbox) {
  console& terminal = context.terminal();
  json answer = context.call("gc.stats", about(sandbox));
  sort_list(answer, "sandboxes", "name");
  if (terminal.is_json()) {
    terminal.write_json(answer, "sandboxes");
    return 0;
  }
  for (const json& one : list_of(answer, "sandboxes")) print_collector(terminal, one);
  return 0;
}

int set_collector(command_context& context, const std::string& sandbox, const char* what, std::int64_t value) {
  json parameters = about(sandbox);
  parameters[what] = value;
  const json answer = context.call("gc.set", parameters);
  if (context.terminal().is_json()) {
    context.terminal().write_json(answer);
    return 0;
  }
  std::string names;
  for (const json& name : list_of(answer, "sandboxes"))
    if (name.is_string()) names += (names.empty() ? "" : ", ") + safe_line(name.get<std::string>());
  context.terminal().report("set in " + names + ", until the host starts anew");
  return 0;
}

std::int64_t percent_from(const std::string& word) {
  constexpr std::int64_t least = 10;
  constexpr std::int64_t most = 1000;
  if (word == "off") return -1;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size() || number < least || number > most)
    throw command_error(exit_code::usage, "\"" + safe_line(word) + "\" is no percentage", "give 10 to 1000, or off");
  return number;
}

std::int64_t size_from(const std::string& word) {
  if (word == "none") return 0;
  const auto size = parse_bytes(word);
  if (!size || *size == 0)
    throw command_error(exit_code::usage, "\"" + safe_line(word) + "\" is no size", "give one such as 512MiB, or none");
  return static_cast<std::int64_t>(*size);
}

void print_heap(console& terminal, const json& one) {
  terminal.write("sandbox " + safe_line(text_of(one, "name")) + ": " + format_bytes(number_of(one, "alloc_bytes")) +
                 " in " + count_of(one, "objects") + " objects, live " + format_bytes(number_of(one, "live_bytes")) +
                 "; pages in use " + format_bytes(number_of(one, "in_use_bytes")) + ", idle " +
                 format_bytes(number_of(one, "idle_bytes")) + ", released " +
                 format_bytes(number_of(one, "released_bytes")) + ", tables " +
                 format_bytes(number_of(one, "metadata_bytes")) + "\n\n");
  table tasks({{"TASK"},
               {"PLUGIN"},
               {"LIVE", side::right},
               {"IN USE", side::right},
               {"OBJECTS", side::right},
               {"ALLOCATED", side::right},
               {"SOFT", side::right},
               {"HARD", side::right},
               {"WAITS", side::right},
               {"FAILED", side::right}});
  for (const json& task : list_of(one, "tasks"))
    tasks.add({text_of(task, "name"), text_of(task, "plugin"), format_bytes(number_of(task, "live_bytes")),
               format_bytes(number_of(task, "in_use_bytes")), count_of(task, "objects"),
               format_bytes(number_of(task, "allocated_bytes_total")), size_or(task, "soft_limit_bytes", ""),
               size_or(task, "hard_limit_bytes", ""), count_of(task, "limit_waits_total"),
               count_of(task, "limit_failures_total")});
  terminal.write_table(tasks, "No task runs.");
  table sizes({{"SIZE", side::right}, {"OBJECTS", side::right}, {"ALLOCATED", side::right}, {"FREED", side::right}});
  for (const json& size : list_of(one, "size_classes"))
    sizes.add({count_of(size, "size"), count_of(size, "objects"), count_of(size, "allocated_objects_total"),
               count_of(size, "freed_objects_total")});
  const double large = number_of(one, "large_objects_total").value_or(0);
  if (large > 0)
    sizes.add(
        {"large",
         std::to_string(static_cast<std::uint64_t>(large - number_of(one, "large_objects_freed_total").value_or(0))),
         count_of(one, "large_objects_total"), count_of(one, "large_objects_freed_total")});
  terminal.write("\n");
  terminal.write_table(sizes, "Nothing was allocated.");
}

int show_heaps(command_context& context, const std::string& sandbox) {
  console& terminal = context.terminal();
  json answer = context.call("heap.stats", about(sandbox));
  sort_list(answer, "sandboxes", "name");
  if (terminal.is_json()) {
    terminal.write_json(answer, "sandboxes");
    return 0;
  }
  bool first = true;
  for (json one : list_of(answer, "sandboxes")) {
    if (!std::exchange(first, false)) terminal.write("\n");
    sort_list(one, "tasks", "name");
    print_heap(terminal, one);
  }
  return 0;
}

std::string object_text(const json& object) {
  const std::string task = text_of(object, "task");
  return safe_line(text_of(object, "address")) + " (" + count_of(object, "size") + " bytes" +
         (task.empty() ? "" : ", of task " + safe_line(task)) + ")";
}

int explain_object(command_context& context, const std::string& address, const std::string& sandbox) {
  console& terminal = context.terminal();
  json parameters = about(sandbox);
  parameters["address"] = address;
  const json answer = context.call_and_wait("heap.why", parameters);
  if (terminal.is_json()) {
    terminal.write_json(answer);
    return 0;
  }
  const json& root = member_of(answer, "root");
  const std::string place = text_of(root, "place");
  const std::string green_thread = text_of(root, "green_thread");
  std::string text = "the word at " + safe_line(text_of(root, "address")) + ", in " +
                     safe_line(place.empty() ? text_of(root, "kind") : place);
  if (!green_thread.empty() && green_thread != "0") text += " " + green_thread;
  const json& steps = list_of(answer, "steps");
  const auto left_out = number_of(answer, "steps_left_out").value_or(0);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (left_out > 0 && i == steps.size() / 2) text += "\n  … over " + text_of(answer, "steps_left_out") + " others";
    text += "\n  refers to the object at " + object_text(steps[i]) + ", whose word at offset " +
            count_of(steps[i], "offset");
  }
  const json& object = member_of(answer, "object");
  text += "\n  refers to the object at " + object_text(object);
  if (number_of(object, "offset").value_or(0) > 0)
    text += ", which the address lies in at offset " + count_of(object, "offset");
  terminal.write(text + "\n");
  return 0;
}

struct profile_choice {
  std::string task;
  std::string file;
  bool collects = false;
};

void write_file(const std::string& name, std::string_view bytes) {
  std::ofstream file(name, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file)
    throw command_error(exit_code::failed,
                        "cannot write " + safe_line(name) + ": " + std::generic_category().message(errno));
}

int write_profile(command_context& context, const profile_choice& choice, const std::string& sandbox) {
  console& terminal = context.terminal();
  if (choice.file.empty() && terminal.is_terminal() && !terminal.is_json())
    throw command_error(exit_code::usage, "a profile is no text for a terminal",
                        "name a file by --file, or redirect the output");
  json parameters = about(sandbox);
  if (!choice.task.empty()) parameters["task"] = choice.task;
  if (choice.collects) parameters["collect"] = true;
  const json answer = context.call_and_wait("heap.profile", parameters);
  const auto profile = protocol::from_base64(text_of(answer, "profile"));
  if (!profile) throw command_error(exit_code::failed, "rtd's answer holds no profile");
  if (!choice.file.empty()) {
    write_file(choice.file, *profile);
    terminal.report("profile of sandbox " + safe_line(text_of(answer, "sandbox")) + " in " + safe_line(choice.file) +
                    ": look at it by `go tool pprof " + safe_line(choice.file) + "`");
  }
  if (terminal.is_json())
    terminal.write_json(answer);
  else if (choice.file.empty())
    terminal.write(*profile);
  return 0;
}

}  // namespace

void add_heap_commands(command_line& line) {
  auto sandbox = std::make_shared<std::string>();
  const auto only = [&line, sandbox](CLI::App& command) {
    line.hint(command.add_option("--sandbox", *sandbox, "Only this sandbox")->type_name("NAME"),
              value_source::sandboxes);
  };
  auto& gc = line.add_group("gc", "The collectors of the sandboxes' heaps");
  only(line.add_command(gc, "run", "Collect now, and give unused memory back to the system",
                        [sandbox](command_context& context) { return run_collection(context, *sandbox); }));
  only(line.add_command(gc, "stats", "What the collectors have done, and what they are set to",
                        [sandbox](command_context& context) { return show_collectors(context, *sandbox); }));
  auto word = std::make_shared<std::string>();
  auto& percent = line.add_command(
      gc, "percent", "Set how much the heap may grow between collections",
      [=](command_context& context) { return set_collector(context, *sandbox, "percent", percent_from(*word)); });
  percent.add_option("PERCENT", *word, "10 to 1000 percent of what is live, or off")->required();
  only(percent);
  auto& limit = line.add_command(
      gc, "limit", "Set the soft limit of the runtime's memory",
      [=](command_context& context) { return set_collector(context, *sandbox, "memory_limit", size_from(*word)); });
  limit.add_option("SIZE", *word, "Such as 512MiB, or none")->required();
  only(limit);

  auto& heap = line.add_group("heap", "The collected heaps of the sandboxes");
  only(line.add_command(heap, "stats", "The heaps, by task and by size of the objects",
                        [sandbox](command_context& context) { return show_heaps(context, *sandbox); }));
  auto& why = line.add_command(heap, "why", "Why an object is kept: a path of references to it",
                               [=](command_context& context) { return explain_object(context, *word, *sandbox); });
  why.add_option("ADDRESS", *word, "Of the object, or inside it: hexadecimal digits")->required();
  only(why);
  auto choice = std::make_shared<profile_choice>();
  auto& profile = line.add_command(heap, "profile", "Who has allocated what, as a profile for pprof",
                                   [=](command_context& context) { return write_profile(context, *choice, *sandbox); });
  line.hint(profile.add_option("TASK", choice->task, "Only this task's objects"), value_source::tasks);
  line.hint(
      profile.add_option("-f,--file", choice->file, "Write it there (default: standard output)")->type_name("FILE"),
      value_source::files);
  profile.add_flag("--gc", choice->collects, "Collect before: what is in use is of this moment then");
  only(profile);
}

}  // namespace rtd::ctl
