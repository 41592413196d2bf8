#include "daemon/ctl/completion.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "daemon/ctl/fields.h"
#include "daemon/ctl/text.h"
#include "daemon/protocol/text.h"

namespace rtd::ctl {
namespace {

using nlohmann::json;

constexpr double lookup_seconds = 0.5;

bool takes_value(const CLI::Option* option) { return option->get_items_expected_max() > 0; }

// Commands fall back to the options of the commands that they belong to.
const CLI::Option* find_option(const CLI::App& command, const std::string& name) {
  for (const CLI::App* level = &command; level != nullptr; level = level->get_parent())
    for (const CLI::Option* option : level->get_options())
      if (!option->get_positional() && option->check_name(name)) return option;
  return nullptr;
}

const CLI::App* find_command(const CLI::App& parent, const std::string& name) {
  for (const CLI::App* one : parent.get_subcommands([](const CLI::App*) { return true; }))
    if (one->get_name() == name) return one;
  return nullptr;
}

// Where the cursor stands: read from the words before it.
class position {
 public:
  explicit position(const CLI::App& root) : command_(&root) {}

  void pass(const std::string& word) {
    if (pending_ != nullptr) {
      note_value(std::exchange(pending_, nullptr), word);
    } else if (!only_arguments_ && word == "--") {
      only_arguments_ = true;
    } else if (!only_arguments_ && word.starts_with("--")) {
      const std::size_t sign = word.find('=');
      const CLI::Option* option = find_option(*command_, word.substr(0, sign));
      if (option == nullptr || !takes_value(option)) return;
      if (sign == std::string::npos)
        pending_ = option;
      else
        note_value(option, word.substr(sign + 1));
    } else if (!only_arguments_ && word.size() > 1 && word.front() == '-') {
      pass_short(word);
    } else if (const CLI::App* inner = arguments_.empty() ? find_command(*command_, word) : nullptr) {
      command_ = inner;
    } else {
      arguments_.push_back(word);
    }
  }

  const CLI::App& command() const { return *command_; }
  const CLI::Option* pending() const { return pending_; }
  bool only_arguments() const { return only_arguments_; }
  const std::vector<std::string>& arguments() const { return arguments_; }
  const std::string& socket() const { return socket_; }

  // The argument that the next word would be.
  const CLI::Option* next_argument() const {
    std::size_t left = arguments_.size();
    for (const CLI::Option* option : command_->get_options()) {
      if (!option->get_positional()) continue;
      if (left == 0 || option->get_items_expected_max() > 1) return option;
      --left;
    }
    return nullptr;
  }

 private:
  // Short options may stand together ("-fn"); the last may have its value attached or after it.
  void pass_short(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const CLI::Option* option = find_option(*command_, std::string("-") + word[i]);
      if (option == nullptr) return;
      if (!takes_value(option)) continue;
      if (i + 1 == word.size())
        pending_ = option;
      else
        note_value(option, word.substr(i + 1));
      return;
    }
  }

  void note_value(const CLI::Option* option, const std::string& value) {
    if (option->check_lname("socket")) socket_ = value;
  }

  const CLI::App* command_;
  const CLI::Option* pending_ = nullptr;
  bool only_arguments_ = false;
  std::vector<std::string> arguments_;
  std::string socket_;
};

class completer {
 public:
  completer(const command_line& line, const position& at, const live_lookup& lookup)
      : line_(line), at_(at), lookup_(lookup) {}

  completion take() && { return std::move(result_); }

  // Values of an option or argument; `before` is what the word has in front of the value ("--output=").
  void values(const CLI::Option* option, const std::string& before, const std::string& partial) {
    if (option == nullptr) return;
    const value_hint& hint = line_.hint_of(option);
    switch (hint.source) {
      case value_source::none:
        break;
      case value_source::files:
        result_.directives &= ~directive_no_files;
        break;
      case value_source::choices:
        for (const std::string& word : hint.choices) offer(before + word, before + partial, {});
        break;
      default: {
        const std::string socket = at_.socket().empty() ? line_.options().socket : at_.socket();
        for (const candidate& one : lookup_({hint.source, socket, at_.arguments()})) {
          const auto& given = at_.arguments();
          // A task that stands on the line already is not meant again.
          if (option->get_positional() && std::find(given.begin(), given.end(), one.word) != given.end() &&
              hint.source != value_source::entries)
            continue;
          offer(before + one.word, before + partial, one.description);
        }
      }
    }
  }

  void options(const std::string& partial) {
    for (const CLI::App* level = &at_.command(); level != nullptr; level = level->get_parent())
      for (const CLI::Option* option : level->get_options()) {
        if (option->get_group().empty() || option->get_positional()) continue;
        for (const std::string& name : option->get_lnames())
          if (level == &at_.command() || name != "help") offer("--" + name, partial, option->get_description());
      }
  }

  void commands(const std::string& partial) {
    for (const CLI::App* one : at_.command().get_subcommands([](const CLI::App*) { return true; }))
      if (!one->get_group().empty()) offer(one->get_name(), partial, one->get_description());
  }

 private:
  void offer(const std::string& word, const std::string& partial, const std::string& description) {
    if (word.starts_with(partial)) result_.candidates.push_back({word, description});
  }

  const command_line& line_;
  const position& at_;
  const live_lookup& lookup_;
  completion result_;
};

bool is_wanted(value_source source, const std::string& state) {
  const bool has_ended = state == "completed" || state == "failed" || state == "stopped" || state == "fatal";
  if (source == value_source::running_tasks) return !has_ended;
  if (source == value_source::ended_tasks) return has_ended;
  return true;
}

// Only words that no shell could take for anything else.
void add_name(std::vector<candidate>& names, const std::string& word, const std::string& description) {
  if (protocol::is_name(word) || protocol::is_identifier(word)) names.push_back({word, safe_line(description)});
}

std::vector<candidate> ask(const live_query& query) {
  const deadline limit = deadline_in(lookup_seconds);
  rpc_client client(connection::open(query.socket, limit), limit);
  std::vector<candidate> names;
  const auto call = [&](const char* method) { return client.call(method, json::object(), limit); };
  if (query.source == value_source::sandboxes) {
    const json answer = call("sandbox.list");
    for (const json& one : list_of(answer, "sandboxes")) add_name(names, text_of(one, "name"), text_of(one, "state"));
  } else if (query.source == value_source::plugins || query.source == value_source::entries) {
    const json answer = call("plugin.list");
    for (const json& one : list_of(answer, "plugins")) {
      const std::string name = text_of(one, "name");
      if (query.source == value_source::plugins) {
        add_name(names, name, text_of(one, "description"));
      } else if (!query.arguments.empty() && name == query.arguments.front()) {
        for (const json& entry : list_of(one, "entries"))
          add_name(names, entry.is_string() ? entry.get<std::string>() : text_of(entry, "name"),
                   text_of(entry, "description"));
      }
    }
  } else {
    const json answer = call("ps");
    for (const json& one : list_of(answer, "tasks"))
      if (const std::string state = text_of(one, "state"); is_wanted(query.source, state))
        add_name(names, text_of(one, "name"), state + ", " + text_of(one, "plugin"));
  }
  std::sort(names.begin(), names.end(),
            [](const candidate& left, const candidate& right) { return left.word < right.word; });
  return names;
}

}  // namespace

completion complete(const command_line& line, const std::vector<std::string>& words, const live_lookup& lookup) {
  position at(line.root());
  for (std::size_t i = 0; i + 1 < words.size(); ++i) at.pass(words[i]);
  const std::string partial = words.empty() ? std::string() : words.back();
  completer work(line, at, lookup);
  if (at.pending() != nullptr) {
    work.values(at.pending(), {}, partial);
  } else if (!at.only_arguments() && partial.starts_with('-')) {
    const std::size_t sign = partial.starts_with("--") ? partial.find('=') : std::string::npos;
    if (sign == std::string::npos) {
      work.options(partial);
    } else {
      const CLI::Option* option = find_option(at.command(), partial.substr(0, sign));
      if (option != nullptr && takes_value(option))
        work.values(option, partial.substr(0, sign + 1), partial.substr(sign + 1));
    }
  } else {
    if (at.arguments().empty()) work.commands(partial);
    work.values(at.next_argument(), {}, partial);
  }
  return std::move(work).take();
}

std::vector<candidate> names_from_rtd(const live_query& query) {
  try {
    return ask(query);
  } catch (const std::exception&) {
    // A shell that waits for candidates shows no errors: it just has none to offer.
    return {};
  }
}

std::string to_text(const completion& answer) {
  std::string text;
  for (const candidate& one : answer.candidates)
    text += one.word + (one.description.empty() ? "" : "\t" + one.description) + '\n';
  return text + ':' + std::to_string(answer.directives) + '\n';
}

void add_completion_command(command_line& line) {
  auto shell = std::make_shared<std::string>();
  auto& command = line.add_command(line.root(), "completion", "The script that lets a shell complete rtctl's words",
                                   [shell](command_context& context) {
                                     context.terminal().write(completion_script(*shell));
                                     return 0;
                                   });
  line.choices(command.add_option("SHELL", *shell, "bash, zsh or fish")->required(), {"bash", "zsh", "fish"});
  command.footer(
      "For this session:  source <(rtctl completion bash)       (zsh the same; fish: rtctl completion fish | source)\n"
      "For good:          rtctl completion bash > /etc/bash_completion.d/rtctl\n"
      "                   rtctl completion zsh > \"${fpath[1]}/_rtctl\"\n"
      "                   rtctl completion fish > ~/.config/fish/completions/rtctl.fish");
}

}  // namespace rtd::ctl
