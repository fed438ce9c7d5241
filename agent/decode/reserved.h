#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "agent/core/record.h"

/// What records.md section 7 says about each reserved field, found by one multiplication and one comparison.
namespace weir::decode {

/// A set of JSON types, one bit each.
using TypeSet = uint8_t;
constexpr TypeSet type_bit(JsonType type) { return TypeSet(1u << unsigned(type)); }
inline constexpr TypeSet kNull = type_bit(JsonType::null);
inline constexpr TypeSet kString = type_bit(JsonType::string);
inline constexpr TypeSet kText = kNull | kString;
inline constexpr TypeSet kNumber = kNull | type_bit(JsonType::number);
inline constexpr TypeSet kObject = kNull | type_bit(JsonType::object);
inline constexpr TypeSet kArray = kNull | type_bit(JsonType::array);
inline constexpr TypeSet kAnyType = 0x3F;

/// What else is to be done with the value.
enum class Extra : uint8_t { none, stream, integer, finite, members, strings, objects };

struct Reserved {
  std::string_view name = {};
  Field field = Field::stream;
  TypeSet allowed = kAnyType;
  Extra extra = Extra::none;
  std::string_view detail = {};
  uint64_t head = 0, tail = 0;  ///< the name as 16 bytes, zeros behind it
};

#define WEIR_TEXT(name) \
  Reserved { #name, Field::name, kText, Extra::none, #name ": expected a string" }
#define WEIR_ID(name) \
  Reserved { #name, Field::name, kText | kNumber, Extra::none, #name ": expected a string or a number" }
#define WEIR_INTEGER(name) \
  Reserved { #name, Field::name, kNumber, Extra::integer, #name ": expected an integer" }
#define WEIR_OBJECT(name, extra) \
  Reserved { #name, Field::name, kObject, Extra::extra, #name ": expected an object" }
/// Those with a rule; the others take any type.
inline constexpr auto kReservedRules = std::to_array<Reserved>({
    {"stream", Field::stream, kText, Extra::stream, "stream: expected a string"},
    WEIR_TEXT(service),
    WEIR_ID(trace_id),
    WEIR_TEXT(span_id),
    WEIR_TEXT(parent_span_id),
    WEIR_TEXT(correlation_id),
    WEIR_TEXT(scenario),
    WEIR_TEXT(step_name),
    WEIR_TEXT(t_enter),
    WEIR_TEXT(t_exit),
    WEIR_TEXT(status),
    WEIR_TEXT(kind),
    WEIR_TEXT(message),
    WEIR_TEXT(logger),
    WEIR_TEXT(name),
    WEIR_TEXT(rule),
    WEIR_INTEGER(line_no),
    WEIR_INTEGER(step_index),
    WEIR_INTEGER(work_index),
    WEIR_INTEGER(msg_out_count),
    {"duration_ms", Field::duration_ms, kNumber, Extra::finite, "duration_ms: expected a finite number"},
    WEIR_OBJECT(ctx_before, members),
    WEIR_OBJECT(ctx_after, members),
    WEIR_OBJECT(ctx_diff, members),
    WEIR_OBJECT(ctx, members),
    WEIR_OBJECT(ctx_set, members),
    {"ctx_unset", Field::ctx_unset, kArray, Extra::strings, "ctx_unset: expected an array of strings"},
    WEIR_ID(ctx_id),
    WEIR_OBJECT(msg_in, members),
    {"msg_out", Field::msg_out, kArray, Extra::objects, "msg_out: expected an array of objects"},
    WEIR_OBJECT(attributes, none),
    WEIR_OBJECT(resource, none),
    WEIR_OBJECT(error, none),
});
#undef WEIR_TEXT
#undef WEIR_ID
#undef WEIR_INTEGER
#undef WEIR_OBJECT

constexpr uint64_t eight_bytes(std::string_view text, size_t from) {
  uint64_t word = 0;
  for (size_t i = from; i < text.size() && i < from + 8; ++i) {
    word |= uint64_t(static_cast<unsigned char>(text[i])) << 8 * (i - from);
  }
  return word;
}

struct ReservedTable {
  uint64_t multiplier = 0x9E3779B97F4A7C15;
  std::array<uint8_t, 256> slots{};             ///< entry + 1
  std::array<Reserved, kFieldCount> entries{};  ///< by Field
};

/// Tries multipliers until the first eight bytes of the names fall into slots of their own.
constexpr ReservedTable make_reserved_table() {
  ReservedTable table;
#define WEIR_ANY_TYPE(name) table.entries[size_t(Field::name)] = Reserved{#name, Field::name};
  WEIR_FIELDS(WEIR_ANY_TYPE)
#undef WEIR_ANY_TYPE
  for (const Reserved& rule : kReservedRules) table.entries[size_t(rule.field)] = rule;
  for (Reserved& r : table.entries) r.head = eight_bytes(r.name, 0), r.tail = eight_bytes(r.name, 8);
  for (bool clash = true; clash;) {
    clash = false;
    table.multiplier = table.multiplier * 6364136223846793005u + 1442695040888963407u;
    table.slots = {};
    for (size_t i = 0; i < kFieldCount && !clash; ++i) {
      uint8_t& slot = table.slots[table.entries[i].head * table.multiplier >> 56];
      clash = slot != 0;
      slot = uint8_t(i + 1);
    }
  }
  return table;
}
inline constexpr ReservedTable kReserved = make_reserved_table();

/// `head` and `tail`: the decoded key as 16 bytes, zeros behind it.
inline const Reserved* find_reserved(uint64_t head, uint64_t tail, size_t size) {
  const uint8_t slot = kReserved.slots[head * kReserved.multiplier >> 56];
  if (slot == 0) return nullptr;
  const Reserved& r = kReserved.entries[slot - 1u];
  return r.head == head && r.tail == tail && r.name.size() == size ? &r : nullptr;
}

}  // namespace weir::decode
