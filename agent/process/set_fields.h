#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/process/processor.h"

namespace weir {

struct SetOptions {
  struct Entry {
    std::string path;   ///< dotted, from the record's top
    std::string value;  ///< one JSON value: a string, number, true or false
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries = {};  ///< in the order written
  bool overwrite = false;
  bool operator==(const SetOptions&) const = default;
};

/// Why `set` cannot give this value (JSON) to this path; empty: it can.
std::string refuse_set(std::string_view path, std::string_view value);

/// Adds fields where they are absent (records.md section 2); null is absent in reserved fields. What is added
/// at the top follows all that stands there; in an object that was sent it becomes the last members. A member
/// in the way that is no object is left alone. No path may be the beginning of another one.
std::unique_ptr<Processor> make_set(const SetOptions& options);

}  // namespace weir
