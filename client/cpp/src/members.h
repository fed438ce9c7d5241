#pragma once
// A JSON object that grows by members: contexts and attributes of a step.
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "weir/value.h"

namespace weir::detail {

/// Of a key that comes again the last value counts. Throws std::bad_alloc.
class Members {
 public:
  void add(std::string_view key, const Value& value);
  /// It is there, even if nothing is in it.
  void open() {
    if (json_.empty()) json_ = "{";
  }
  bool is_there() const { return !json_.empty(); }
  std::string text() const { return json_ + "}"; }
  /// Of text(), if shorten() were called.
  size_t bytes(size_t text_bytes_max = SIZE_MAX) const;
  /// Cuts texts to at most so many bytes as they stand in the JSON. False: there was nothing to cut.
  bool shorten(size_t text_bytes_max);

 private:
  struct Place {
    size_t hash, key, value, end;  ///< key and value begin there in json_
  };
  std::string_view quoted_key(const Place& p) const { return {json_.data() + p.key, p.value - p.key - 1}; }
  bool is_text(const Place& p) const;
  Place* find(std::string_view quoted_key, size_t hash);
  void replace(Place& place, std::string_view value);

  static constexpr size_t kSearchedMax = 16;  ///< more are found by hash
  std::string json_;                          ///< without its last brace
  std::vector<Place> places_;
  std::unordered_multimap<size_t, size_t> by_hash_;  ///< indices of places_
};

}  // namespace weir::detail
