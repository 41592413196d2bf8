// Text on a terminal: made harmless, measured, cut, coloured.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rtd::ctl {

/// `raw` on one line, without anything that steers a terminal: control characters show as \n, \x1b and so on, tabs as
/// one space, bytes that are no UTF-8 as U+FFFD. Everything that came from a task or from another user goes through
/// this or through safe_block before it is printed.
std::string safe_line(std::string_view raw);

/// The same for text of several lines, such as stack dumps: newlines and tabs stay.
std::string safe_block(std::string_view raw);

/// JSON text with those characters escaped that are legal in JSON strings but steer terminals (U+007F to U+009F, marks
/// that reverse the reading direction). What the text means stays the same.
std::string safe_json(std::string_view json_text);

/// The columns that `text` takes. `text` has been through safe_line.
std::size_t display_width(std::string_view text) noexcept;

/// `text` when it fits into `width` columns, else its start and "…", together at most `width` columns.
std::string cut_to_width(std::string_view text, std::size_t width);

/// What a piece of text means to the reader.
enum class tone { plain, good, warning, bad, faint, strong };

/// The tone of a state of a task, sandbox or plugin ("running" is good, "fatal" is bad).
tone tone_of_state(std::string_view state) noexcept;

/// The tone of a log level.
tone tone_of_level(std::string_view level) noexcept;

/// `text` in the colour of its tone, or as it is when `colour` is false.
std::string paint(std::string_view text, tone its_tone, bool colour);

}  // namespace rtd::ctl
