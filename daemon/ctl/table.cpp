#include "daemon/ctl/table.h"

#include <algorithm>
#include <numeric>

namespace rtd::ctl {
namespace {

constexpr std::size_t gap = 2;
constexpr std::size_t least_cut_width = 8;

// Takes columns away from those that may be cut, the last one first, until the line fits.
void shrink(std::vector<std::size_t>& widths, const std::vector<column>& columns, std::size_t limit) {
  const auto total = [&] { return std::accumulate(widths.begin(), widths.end(), gap * (widths.size() - 1)); };
  for (std::size_t i = columns.size(); i-- > 0 && total() > limit;) {
    if (!columns[i].may_be_cut || widths[i] <= least_cut_width) continue;
    const std::size_t excess = total() - limit;
    widths[i] -= std::min(excess, widths[i] - least_cut_width);
  }
}

}  // namespace

void table::add(std::vector<cell> row) {
  row.resize(columns_.size());
  for (cell& one : row) {
    one.text = safe_line(one.text);
    if (one.text.empty()) one.text = "-";
  }
  rows_.push_back(std::move(row));
}

std::string table::render(const table_style& style) const {
  std::vector<std::size_t> widths(columns_.size(), 0);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (style.headers) widths[i] = display_width(columns_[i].title);
    for (const auto& row : rows_) widths[i] = std::max(widths[i], display_width(row[i].text));
  }
  if (style.max_width != 0 && !widths.empty()) shrink(widths, columns_, style.max_width);

  std::string result;
  const auto add_line = [&](const auto& text_at, const auto& tone_at) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string shown = cut_to_width(text_at(i), widths[i]);
      const std::string padding(widths[i] - display_width(shown), ' ');
      const bool is_last = i + 1 == columns_.size();
      if (columns_[i].alignment == side::right) line += padding;
      line += paint(shown, tone_at(i), style.colour);
      if (columns_[i].alignment == side::left && !is_last) line += padding;
      if (!is_last) line.append(gap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + '\n';
  };
  if (style.headers)
    add_line([&](std::size_t i) { return columns_[i].title; }, [](std::size_t) { return tone::strong; });
  for (const auto& row : rows_)
    add_line([&](std::size_t i) { return row[i].text; }, [&](std::size_t i) { return row[i].colour; });
  return result;
}

}  // namespace rtd::ctl
