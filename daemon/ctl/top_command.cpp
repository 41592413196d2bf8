// rtctl top
#include <chrono>
#include <ctime>
#include <memory>
#include <optional>
#include <thread>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/fields.h"
#include "daemon/ctl/live_screen.h"
#include "daemon/ctl/top_model.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;

constexpr double shortest_interval = 0.1;
constexpr double first_interval = 0.5;  // rates need two samples: the second comes soon
constexpr const char* key_help = "q quit   c by cpu   g by green threads   h by heap   n by name   space now";

struct top_choice {
  std::optional<int> frames;
  double interval = 2;
  std::string sort = "cpu";
  std::string sandbox;
  bool batch = false;
};

top_order order_of(const std::string& word) {
  return word == "name"    ? top_order::name
         : word == "green" ? top_order::green_threads
         : word == "heap"  ? top_order::heap
                           : top_order::cpu;
}

std::string clock_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char buffer[16];
  std::strftime(buffer, sizeof buffer, "%H:%M:%S", &parts);
  return buffer;
}

steady_clock::duration as_duration(double seconds) {
  return std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(seconds));
}

class sampler {
 public:
  sampler(command_context& context, std::string sandbox) : context_(context), sandbox_(std::move(sandbox)) {}

  top_frame next(top_order order) {
    json parameters = json::object();
    if (!sandbox_.empty()) parameters["sandbox"] = sandbox_;
    top_sample sample;
    sample.status = context_.call("status");
    const json answer = context_.call("ps", parameters);
    sample.tasks = list_of(answer, "tasks");
    sample.at = std::chrono::duration<double>(steady_clock::now().time_since_epoch()).count();
    if (!sandbox_.empty()) keep_sandbox(sample.status);
    top_frame frame = model_.update(sample);
    sort_tasks(frame, order);
    return frame;
  }

 private:
  void keep_sandbox(json& status) const {
    json kept = json::array();
    for (const json& one : list_of(status, "sandboxes"))
      if (text_of(one, "name") == sandbox_) kept.push_back(one);
    status["sandboxes"] = std::move(kept);
  }

  command_context& context_;
  std::string sandbox_;
  top_model model_;
};

int print_frames(command_context& context, const top_choice& choice) {
  console& terminal = context.terminal();
  sampler samples(context, choice.sandbox);
  const top_order order = order_of(choice.sort);
  samples.next(order);
  double pause = std::min(choice.interval, first_interval);
  for (int shown = 0; !choice.frames || shown < *choice.frames; ++shown) {
    std::this_thread::sleep_for(as_duration(pause));
    pause = choice.interval;
    const top_frame frame = samples.next(order);
    if (terminal.is_json())
      terminal.write_json_line(to_json(frame));
    else
      terminal.write((shown == 0 ? "" : "\n") +
                     to_text(frame, clock_text(), {terminal.headers(), terminal.colour(), 0, 0}));
    if (!terminal.flush()) break;
  }
  return 0;
}

// Redraws until a key, a signal or the number of frames ends it. Returns the signal, 0 without one.
int redraw(command_context& context, const top_choice& choice) {
  console& terminal = context.terminal();
  sampler samples(context, choice.sandbox);
  top_order order = order_of(choice.sort);
  top_frame frame = samples.next(order);
  live_screen screen;
  context.client().interrupt_by(screen.quit_descriptor());
  const auto draw = [&] {
    const std::size_t rows = screen.rows();
    const std::size_t for_frame = rows > 6 ? rows - 1 : rows;
    std::string text = to_text(frame, clock_text(), {true, terminal.colour(), screen.columns(), for_frame});
    if (for_frame < rows)
      text += paint(cut_to_width(key_help, screen.columns()), tone::faint, terminal.colour()) + '\n';
    screen.draw(text);
  };
  draw();
  auto due = steady_clock::now() + as_duration(std::min(choice.interval, first_interval));
  try {
    for (int shown = 0;;) {
      const auto event = screen.wait(due);
      if (event == live_screen::event::quit_signal) return screen.quit_signal();
      if (event == live_screen::event::key) {
        const char key = screen.key();
        if (key == 'q') return 0;
        if (key == 'c') order = top_order::cpu;
        if (key == 'g') order = top_order::green_threads;
        if (key == 'h') order = top_order::heap;
        if (key == 'n') order = top_order::name;
        sort_tasks(frame, order);
      }
      if (event == live_screen::event::time || (event == live_screen::event::key && screen.key() == ' ')) {
        frame = samples.next(order);
        due = steady_clock::now() + as_duration(choice.interval);
        draw();
        ++shown;
        if (choice.frames && shown >= *choice.frames) return 0;
      } else {
        draw();
      }
    }
  } catch (const interrupted&) {
    return screen.quit_signal();
  }
}

int show_top(command_context& context, const top_choice& choice) {
  const console& terminal = context.terminal();
  if (!terminal.is_terminal() || terminal.is_json() || choice.batch) return print_frames(context, choice);
  if (const int signal = redraw(context, choice); signal != 0) live_screen::die_by(signal);
  return 0;
}

}  // namespace

void add_top_command(command_line& line) {
  auto choice = std::make_shared<top_choice>();
  auto& command = line.add_command(line.root(), "top", "Processor use of sandboxes and tasks, redrawn again and again",
                                   [choice](command_context& context) { return show_top(context, *choice); });
  limit_to(command.add_option("-n,--frames", choice->frames, "End after this many frames")->type_name("COUNT"), 1,
           1'000'000'000);
  command
      .add_option_function<std::string>(
          "-i,--interval",
          [choice](const std::string& value) {
            choice->interval = seconds_of_option("--interval", value);
            if (choice->interval < shortest_interval)
              throw CLI::ValidationError("--interval",
                                         "\"" + safe_line(value) + "\" is too short; give at least 100ms");
          },
          "Time between frames (default: 2s)")
      ->type_name("TIME");
  line.choices(command.add_option("--sort", choice->sort, "cpu, green (threads), heap or name")->type_name("BY"),
               {"cpu", "green", "heap", "name"});
  line.hint(command.add_option("--sandbox", choice->sandbox, "Only this sandbox")->type_name("NAME"),
            value_source::sandboxes);
  command.add_flag("-b,--batch", choice->batch, "Print frames one after another even on a terminal");
}

}  // namespace rtd::ctl
