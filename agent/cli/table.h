#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

/// One cell of a table; `text` is safe for terminals already.
struct Cell {
  std::string text;
  std::string_view colour = {};  ///< an escape sequence, or nothing
};

/// Aligned columns with a heading line. Cells that are too long are cut at their end; notes are lines of
/// their own below a row. No line is wider than `screen_width`: columns that may be are made narrower, and
/// those that still find no room are left out, last ones first.
class Table {
 public:
  struct Column {
    std::string_view heading;
    bool right = false;
    size_t width_max = 80;
    size_t width_min = 0;  ///< it may be made as narrow as this; 0: it may not
  };
  explicit Table(std::vector<Column> columns, size_t screen_width = SIZE_MAX)
      : columns_(std::move(columns)), screen_width_(screen_width) {}

  void add_row(std::vector<Cell> cells) { rows_.push_back({std::move(cells), {}}); }
  /// Below the row added last, indented.
  void add_note(std::string text, std::string_view colour = {}) {
    rows_.back().notes.push_back({std::move(text), colour});
  }
  bool empty() const { return rows_.empty(); }
  void render(std::string& out, bool colour) const;

 private:
  struct Row {
    std::vector<Cell> cells;
    std::vector<Cell> notes;
  };
  std::vector<size_t> widths() const;
  void fit_to_screen(std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  size_t screen_width_;
  std::vector<Row> rows_;
};

/// Columns a text takes on a terminal: two for the wide characters of East Asia, one for any other.
size_t display_width(std::string_view text);
/// At most `width` columns; what is cut ends in `...`.
std::string fit(std::string_view text, size_t width);
std::string paint(std::string_view text, std::string_view colour, bool on);

inline constexpr std::string_view kRed = "\x1b[31m", kGreen = "\x1b[32m", kYellow = "\x1b[33m",
                                  kDim = "\x1b[2m", kBold = "\x1b[1m";

}  // namespace weir::cli
