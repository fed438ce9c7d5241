#include "agent/cli/table.h"

#include <algorithm>

namespace weir::cli {

size_t display_width(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string fit(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  const size_t keep = width > 3 ? width - 3 : 0;
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end)
    if ((text[end] & 0xC0) != 0x80 && seen++ == keep) break;
  return std::string(text.substr(0, end)) + std::string(std::min<size_t>(3, width), '.');
}

std::string paint(std::string_view text, std::string_view colour, bool on) {
  if (!on || colour.empty() || text.empty()) return std::string(text);
  return std::string(colour) + std::string(text) + "\x1b[0m";
}

std::vector<size_t> Table::widths() const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = columns_[i].heading.size();
    for (const Row& row : rows_) width = std::max(width, display_width(row.cells.at(i).text));
    widths.push_back(std::min(width, columns_[i].width_max));
  }
  return widths;
}

void Table::render(std::string& out, bool colour) const {
  const std::vector<size_t> width = widths();
  auto put_line = [&](auto&& cell_of) {
    const size_t begin = out.size();
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Cell cell = cell_of(i);
      const std::string text = fit(cell.text, width[i]);
      const std::string space(width[i] - display_width(text), ' ');
      if (i > 0) out += "  ";
      out += columns_[i].right ? space + paint(text, cell.colour, colour)
                               : paint(text, cell.colour, colour) + space;
    }
    while (out.size() > begin && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  put_line([&](size_t i) { return Cell{std::string(columns_[i].heading), kDim}; });
  for (const Row& row : rows_) {
    put_line([&](size_t i) { return row.cells[i]; });
    for (const Cell& note : row.notes)
      out += "    " + paint(fit(note.text, kScreenWidth - 4), note.colour, colour) + "\n";
  }
}

}  // namespace weir::cli
