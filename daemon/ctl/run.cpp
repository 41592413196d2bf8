#include "daemon/ctl/run.h"

#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ctl/command_line.h"
#include "daemon/ctl/completion.h"
#include "daemon/ctl/error.h"
#include "daemon/ctl/help.h"

namespace rtd::ctl {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool wants_colour(const std::string& when, bool is_terminal) {
  if (when != "auto") return when == "always";
  const char* terminal = std::getenv("TERM");
  const bool is_dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return is_terminal && !is_dumb && !is_set("NO_COLOR");
}

output_options output_of(const global_options& options, const streams& where) {
  output_options result;
  if (options.format == "wide") result.format = output_format::wide;
  if (options.format == "json") result.format = output_format::json;
  if (options.format == "jsonl") result.format = output_format::jsonl;
  result.headers = !options.no_headers;
  result.quiet = options.quiet;
  result.colour_out = wants_colour(options.colour, where.out_is_terminal);
  result.colour_err = wants_colour(options.colour, where.err_is_terminal);
  return result;
}

int fail_usage(const streams& where, const command_line& line, std::string message) {
  const CLI::App& command = line.innermost();
  console terminal(where, output_of(line.options(), where));
  terminal.complain(safe_line(message), "see " + full_name(command) + " --help");
  where.err << "Usage: " << usage_of(command) << '\n';
  return static_cast<int>(exit_code::usage);
}

int answer_completion(int argc, const char* const* argv, const streams& where) {
  const command_line line;
  const std::vector<std::string> words(argv + 2, argv + argc);
  where.out << to_text(complete(line, words, names_from_rtd));
  return 0;
}

// Output that could not be written is a failure, whatever the command thought of itself.
int finish(int status, const streams& where) {
  where.out.flush();
  if (where.out.good()) return status;
  where.err << "rtctl: cannot write the output; is the disk full?\n";
  return static_cast<int>(exit_code::failed);
}

int run_command(const command_line& line, const streams& where) {
  console terminal(where, output_of(line.options(), where));
  try {
    command_context context(line.options().socket, line.options().timeout, terminal);
    return line.chosen()(context);
  } catch (const command_error& problem) {
    terminal.complain(problem.what(), problem.hint());
    return static_cast<int>(problem.code());
  } catch (const std::exception& problem) {
    terminal.complain(safe_line(problem.what()));
    return static_cast<int>(exit_code::failed);
  }
}

}  // namespace

int run(int argc, const char* const* argv, const streams& where) {
  if (argc > 1 && std::string_view(argv[1]) == "__complete") return finish(answer_completion(argc, argv, where), where);
  command_line line;
  try {
    line.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    where.out << line.innermost().help();
    return finish(0, where);
  } catch (const CLI::CallForVersion& version) {
    where.out << version.what() << '\n';
    return finish(0, where);
  } catch (const CLI::ParseError& problem) {
    return fail_usage(where, line, problem.what());
  } catch (const command_error& problem) {
    console(where, output_of(line.options(), where)).complain(problem.what(), problem.hint());
    return static_cast<int>(problem.code());
  }
  if (!line.chosen()) {
    // A bare "rtctl" or "rtctl task" asks, in its way, for help.
    where.err << line.innermost().help();
    return static_cast<int>(exit_code::usage);
  }
  return finish(run_command(line, where), where);
}

}  // namespace rtd::ctl
