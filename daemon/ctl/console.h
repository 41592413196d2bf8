// Where a command's output goes: data to standard output, everything else to standard error.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>

#include "daemon/ctl/table.h"

namespace rtd::ctl {

enum class output_format { table, wide, json, jsonl };

/// The streams, and what they lead to.
struct streams {
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
};

/// How the user wants the output.
struct output_options {
  output_format format = output_format::table;
  bool headers = true;
  bool quiet = false;
  bool colour_out = false;
  bool colour_err = false;
};

class console {
 public:
  console(const streams& where, const output_options& how) : streams_(where), options_(how) {}

  bool is_json() const noexcept {
    return options_.format == output_format::json || options_.format == output_format::jsonl;
  }
  bool is_wide() const noexcept { return options_.format == output_format::wide; }
  bool is_quiet() const noexcept { return options_.quiet; }
  bool is_terminal() const noexcept { return streams_.out_is_terminal; }
  bool headers() const noexcept { return options_.headers; }
  bool colour() const noexcept { return options_.colour_out; }

  /// Writes `text` as it is: the caller has made it safe.
  void write(std::string_view text);
  /// Passes on to the reader what has been written. False when it cannot be written any more.
  bool flush();

  /// A result: with -o json one indented document, with -o jsonl one line for each element of the array member
  /// `list_key` (or for the whole when `list_key` is empty).
  void write_json(const nlohmann::json& result, std::string_view list_key = {});
  /// One document on one line, whatever the JSON format is.
  void write_json_line(const nlohmann::json& value);

  /// The table, cut to the terminal unless the output is wide; `when_empty` goes to standard error if it has no rows.
  void write_table(const table& rows, std::string_view when_empty);

  /// What a successful command did, for people: nothing with -q or JSON output.
  void report(std::string_view sentence);
  /// Something beside the result: to standard error, nothing with -q.
  void note(std::string_view sentence);
  /// What went wrong: "rtctl: message; hint" to standard error.
  void complain(std::string_view message, std::string_view hint = {});

  std::string painted(std::string_view text, tone its_tone) const { return paint(text, its_tone, colour()); }

 private:
  streams streams_;
  output_options options_;
};

/// Columns of the terminal that `descriptor` leads to; `fallback` when it does not say.
std::size_t terminal_columns(int descriptor, std::size_t fallback);

}  // namespace rtd::ctl
