#include "agent/cli/table.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace weir::cli {

namespace {

/// East Asian Width W and F (UAX #11), in whole blocks.
bool is_wide(uint32_t c) {
  constexpr std::array<std::pair<uint32_t, uint32_t>, 11> wide{{{0x1100, 0x115F},
                                                                {0x2E80, 0x303E},
                                                                {0x3041, 0xA4CF},
                                                                {0xA960, 0xA97F},
                                                                {0xAC00, 0xD7A3},
                                                                {0xF900, 0xFAFF},
                                                                {0xFE30, 0xFE6F},
                                                                {0xFF00, 0xFF60},
                                                                {0xFFE0, 0xFFE6},
                                                                {0x1F000, 0x1FAFF},
                                                                {0x20000, 0x3FFFD}}};
  return c >= wide.front().first && std::any_of(wide.begin(), wide.end(), [c](auto range) {
           return c >= range.first && c <= range.second;
         });
}

/// Columns of the character at `at`, which moves behind it.
size_t take_character(std::string_view text, size_t& at) {
  uint32_t c = uint8_t(text[at++]);
  if (c >= 0xC0) c &= c >= 0xF0 ? 0x07 : c >= 0xE0 ? 0x0F : 0x1F;
  for (; at < text.size() && (text[at] & 0xC0) == 0x80; ++at) c = c << 6 | (uint8_t(text[at]) & 0x3F);
  return is_wide(c) ? 2 : 1;
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) width += take_character(text, at);
  return width;
}

std::string fit(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  const size_t keep = width > 3 ? width - 3 : 0;
  size_t end = 0;
  for (size_t at = 0, used = 0; (used += take_character(text, at)) <= keep;) end = at;
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
  fit_to_screen(widths);
  return widths;
}

/// Keeps as many columns as there is room for with the narrow ones at their least, then shares out the rest.
void Table::fit_to_screen(std::vector<size_t>& widths) const {
  size_t used = 0, kept = 0;
  for (; kept < widths.size(); ++kept) {
    const size_t least = columns_[kept].width_min, space = kept > 0 ? 2 : 0;
    const size_t need = space + (least > 0 ? std::min(least, widths[kept]) : widths[kept]);
    if (used + need > screen_width_ && kept > 0) break;
    used += need;
  }
  widths.resize(kept);
  if (kept == 1) widths[0] = std::min(widths[0], screen_width_);
  size_t room = screen_width_ - std::min(used, screen_width_);
  for (size_t i = 0; i < kept; ++i) {
    const size_t least = std::min(columns_[i].width_min, screen_width_);
    if (least == 0 || widths[i] <= least) continue;
    const size_t more = std::min(room, widths[i] - least);
    widths[i] = least + more, room -= more;
  }
}

void Table::render(std::string& out, bool colour) const {
  const std::vector<size_t> width = widths();
  auto put_line = [&](auto&& cell_of) {
    const size_t begin = out.size();
    for (size_t i = 0; i < width.size(); ++i) {
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
      out += "    " +
             paint(fit(note.text, screen_width_ - std::min<size_t>(screen_width_, 4)), note.colour, colour) +
             "\n";
  }
}

}  // namespace weir::cli
