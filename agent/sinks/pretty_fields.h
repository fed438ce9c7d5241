#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/core/json.h"

/// What append_pretty reads from a record: values as text that is safe on a terminal, whatever their type.
namespace weir {

/// JSON text as it is, escaped for terminals.
std::string safe(std::string_view json_text);
/// A value for people: a string's contents (line feed and tab as \n and \t), anything else as JSON text;
/// null: empty.
std::string shown(std::string_view value);
/// A key of a diff: its contents when they are one plain word, else the literal with its quotes.
std::string shown_key(std::string_view literal);
std::string first_code_points(std::string text, size_t count);

/// Nanoseconds since the epoch of an RFC 3339 literal (any offset) or an integer of nanoseconds.
std::optional<int64_t> parse_time(std::string_view value);
/// `0.25ms` `12.3ms` `1.25s`
std::string format_duration_ms(double ms);

/// fn(std::string_view key_literal, std::string_view value_text)
template <class Fn>
void for_each_member(std::string_view object, Fn&& fn) {
  for (json::Members m(object.data(), {0, uint32_t(object.size())}); m.next();)
    fn(m.member().key.of(object), m.member().value.of(object));
}

/// The members of one record.
class PrettyFields {
 public:
  explicit PrettyFields(std::string_view line);

  std::string_view raw(std::string_view key) const;  ///< empty: not sent
  bool has(std::string_view key) const;              ///< sent and not null
  std::string text(std::string_view key) const { return shown(raw(key)); }

  std::string time_of_day() const;  ///< `HH:MM:SS.mmm` UTC; else what was sent
  std::string date_time() const;  ///< `YYYY-MM-DDTHH:MM:SS.mmmZ`; else what was sent, without spaces, or `-`
  std::string duration() const;
  /// `type_name` of a signature, or of the first of an array of them.
  std::string type_name(std::string_view key) const;

 private:
  std::string_view time_key() const;  ///< empty: no time at all
  /// Contents of the key, text of the value.
  std::vector<std::pair<std::string_view, std::string_view>> members_;
  std::deque<std::string> decoded_keys_;  ///< of those that hold escapes
};

}  // namespace weir
