#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace weir::cli {

/// What the rows of `weir top` are ordered by. Sources and producers, which have no lag, go by rate then.
enum class TopSort { lag, rate, drops, name };
std::string_view top_sort_name(TopSort sort);

struct TopLook {
  size_t width = 80;
  size_t height = SIZE_MAX;  ///< lines; rows that find no room are counted in the heading of their table
  TopSort sort = TopSort::lag;
  bool colour = false;
  std::string notice = {};  ///< why there is nothing newer to see; safe for terminals
};

/// `rates` of top_rates() as lines, none wider than `width`: numbers are never cut, what has no room is left
/// out.
std::vector<std::string> top_view(const nlohmann::json& rates, const TopLook& look);
/// What the keys do and the columns mean, within 80x24.
std::vector<std::string> top_help(const TopLook& look);

}  // namespace weir::cli
