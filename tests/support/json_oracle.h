#pragma once
#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What two other parsers say of a text, so far as they judge by RFC 8259 alone.
namespace weir::test {

/// What nlohmann's parser meets on its way, nothing kept but keys of objects that are open.
class JsonFacts final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool object = false;                 ///< the outermost value is one
  bool duplicates = false;             ///< some object has a key twice, compared decoded
  size_t depth_max = 0, keys_max = 0;  ///< of any value, of any object
  bool number_too_large = false;       ///< it stopped at a number beyond a double

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return open(true); }
  bool key(string_t& name) override {
    open_.back().push_back(name);
    return true;
  }
  bool end_object() override {
    std::vector<std::string>& keys = open_.back();
    keys_max = std::max(keys_max, keys.size());
    std::sort(keys.begin(), keys.end());
    duplicates |= std::adjacent_find(keys.begin(), keys.end()) != keys.end();
    return close();
  }
  bool start_array(size_t) override { return open(false); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    number_too_large = error.id / 100 == 4;
    return false;
  }

 private:
  bool open(bool is_object) {
    if (open_.empty()) object = is_object;
    open_.emplace_back();
    depth_max = std::max(depth_max, open_.size());
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  std::vector<std::vector<std::string>> open_;
};

/// Nothing where it judges otherwise on purpose: it stops at a number beyond a double, takes a NUL for the
/// end and skips a byte order mark.
inline std::optional<bool> accepted_by_nlohmann(std::string_view text, JsonFacts& facts) {
  if (text.find('\0') != text.npos || text.starts_with("\xEF\xBB\xBF")) return std::nullopt;
  const bool accepted = nlohmann::json::sax_parse(text, &facts);
  if (facts.number_too_large) return std::nullopt;
  return accepted;
}
inline std::optional<bool> accepted_by_nlohmann(std::string_view text) {
  JsonFacts facts;
  return accepted_by_nlohmann(text, facts);
}

/// Nothing where it judges otherwise on purpose (large numbers, depth over 1024) or by mistake (3.0.1 takes
/// `\udc00` alone).
inline std::optional<bool> accepted_by_simdjson(std::string_view text, simdjson::dom::parser& parser) {
  const auto error = parser.parse(text.data(), text.size()).error();
  if (error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR) return std::nullopt;
  if (error != simdjson::SUCCESS) return false;
  for (size_t at = 0; (at = text.find("\\u", at)) != text.npos; at += 2)
    if (at + 3 < text.size() && (text[at + 2] | 0x20) == 'd' && text[at + 3] >= 'C') return std::nullopt;
  return true;
}

}  // namespace weir::test
