// What the floor knows of records: the limits and the reserved fields of records.md section 7, and what it
// finds in one.
#pragma once
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace bench {

constexpr int kDepthMax = 64;
constexpr size_t kKeysMax = 1024;
constexpr int kStreams = 4;
constexpr const char* kStreamNames[kStreams] = {"trace", "log", "telemetry", "monitoring"};

[[noreturn]] inline void beyond(const char* what) {
  std::fprintf(stderr, "floor: it has nothing for %s\n", what);
  std::exit(3);
}

/// Bits of a set of types. What is no value at all counts as a number, and is none.
enum Type : uint8_t { kNull = 1, kBool = 2, kNumber = 4, kString = 8, kObject = 16, kArray = 32 };
constexpr uint8_t kScalar = kNull | kBool | kNumber | kString;
constexpr auto kTypes = [] {
  std::array<Type, 256> types{};
  types.fill(kNumber);
  types['"'] = kString, types['{'] = kObject, types['['] = kArray;
  types['n'] = kNull, types['t'] = types['f'] = kBool;
  return types;
}();
inline Type type_of(char first) { return kTypes[uint8_t(first)]; }

enum class Rule : uint8_t { none, stream, integer, finite, before, after, objects, refused };
struct Reserved {
  std::string_view name;
  uint8_t types;  ///< beside null
  Rule rule = Rule::none;
  uint64_t head = 0, tail = 0;  ///< see Key
};
/// Fields whose type is checked. `refused`: the floor does not do what the agent does with it.
constexpr Reserved kReserved[] = {
    {"stream", kString, Rule::stream},
    {"service", kString},
    {"trace_id", kString | kNumber},
    {"span_id", kString},
    {"parent_span_id", kString},
    {"correlation_id", kString},
    {"scenario", kString},
    {"step_name", kString},
    {"t_enter", kString},
    {"t_exit", kString},
    {"status", kString},
    {"kind", kString},
    {"message", kString},
    {"logger", kString},
    {"name", kString},
    {"rule", kString},
    {"line_no", kNumber, Rule::integer},
    {"step_index", kNumber, Rule::integer},
    {"work_index", kNumber, Rule::integer},
    {"msg_out_count", kNumber, Rule::integer},
    {"duration_ms", kNumber, Rule::finite},
    {"ctx_before", kObject, Rule::before},
    {"ctx_after", kObject, Rule::after},
    {"ctx_diff", kObject, Rule::refused},
    {"ctx", kObject, Rule::refused},
    {"ctx_set", kObject, Rule::refused},
    {"ctx_unset", kArray, Rule::refused},
    {"ctx_id", kString | kNumber},
    {"msg_in", kObject},
    {"msg_out", kArray, Rule::objects},
    {"attributes", kObject},
    {"resource", kObject},
    {"error", kObject},
};

/// Where something stands: [begin, end).
struct Part {
  const char *begin = nullptr, *end = nullptr;
  size_t size() const { return size_t(end - begin); }
  std::string_view text() const { return {begin, size()}; }
};

/// A listed key, from the quote before it to the end of its value.
struct Kept {
  int entry;  ///< of the list
  const char *begin, *value, *end;
};

/// A value without children. What may stand there instead is of `types`, and below, for a number, of `rule`.
struct Scalar {
  uint32_t token;  ///< counted from the record's first
  uint8_t types;
  Rule rule;
  Part text;
};

/// What the walk has found in a record.
struct Found {
  int stream = -1;
  const char* brace = nullptr;  ///< that closes the record
  struct Context {
    Part value;
    bool object = false;
    std::vector<Kept> kept;  ///< the listed keys, in the order sent
  } before, after;
  std::vector<Scalar> scalars;
};

}  // namespace bench
