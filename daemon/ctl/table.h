// Columns of text, aligned by the columns that the text takes on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "daemon/ctl/text.h"

namespace rtd::ctl {

enum class side { left, right };

struct column {
  std::string title;
  side alignment = side::left;
  bool may_be_cut = false;  ///< gives way first when the terminal is too narrow
};

struct cell {
  cell(std::string its_text = {}, tone its_tone = tone::plain) : text(std::move(its_text)), colour(its_tone) {}
  cell(const char* its_text) : text(its_text) {}

  std::string text;
  tone colour = tone::plain;
};

struct table_style {
  bool headers = true;
  bool colour = false;
  std::size_t max_width = 0;  ///< columns of the terminal; 0: nothing is cut
};

class table {
 public:
  explicit table(std::vector<column> columns) : columns_(std::move(columns)) {}

  /// Adds a row. Cells are made safe for terminals; missing ones are empty, empty ones show as "-".
  void add(std::vector<cell> row);
  bool empty() const noexcept { return rows_.empty(); }

  /// The table, each line ended by a newline and free of trailing spaces. Two spaces separate columns.
  std::string render(const table_style& style) const;

 private:
  std::vector<column> columns_;
  std::vector<std::vector<cell>> rows_;
};

}  // namespace rtd::ctl
