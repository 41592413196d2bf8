#include "daemon/ctl/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/ctl/fields.h"

namespace rtd::ctl {
namespace {

std::string dumped(const nlohmann::json& value, int indent) {
  return safe_json(value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace)) + '\n';
}

}  // namespace

void console::write(std::string_view text) { streams_.out << text; }

bool console::flush() {
  streams_.out.flush();
  return streams_.out.good();
}

void console::write_json(const nlohmann::json& result, std::string_view list_key) {
  if (options_.format != output_format::jsonl)
    write(dumped(result, 2));
  else if (list_key.empty())
    write_json_line(result);
  else
    for (const auto& element : list_of(result, list_key)) write_json_line(element);
}

void console::write_json_line(const nlohmann::json& value) { write(dumped(value, -1)); }

void console::write_table(const table& rows, std::string_view when_empty) {
  if (rows.empty()) {
    note(when_empty);
    return;
  }
  table_style style{options_.headers, options_.colour_out, 0};
  if (streams_.out_is_terminal && !is_wide()) style.max_width = terminal_columns(STDOUT_FILENO, 0);
  write(rows.render(style));
}

void console::report(std::string_view sentence) {
  if (!options_.quiet && !is_json()) streams_.out << sentence << '\n';
}

void console::note(std::string_view sentence) {
  if (options_.quiet || sentence.empty()) return;
  flush();
  streams_.err << sentence << '\n';
  streams_.err.flush();
}

void console::complain(std::string_view message, std::string_view hint) {
  flush();
  streams_.err << paint("rtctl:", tone::bad, options_.colour_err) << ' ' << message;
  if (!hint.empty()) streams_.err << "; " << hint;
  streams_.err << '\n';
  streams_.err.flush();
}

std::size_t terminal_columns(int descriptor, std::size_t fallback) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return fallback;
  return size.ws_col;
}

}  // namespace rtd::ctl
