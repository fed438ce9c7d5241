#include "agent/core/reason.h"

#include "agent/core/record.h"

namespace weir {

std::string_view reason_name(Reason reason) {
  constexpr std::array<std::string_view, kReasonCount> names{
      "",         "bad_json", "not_an_object", "no_stream", "unknown_stream", "bad_utf8", "duplicate_key",
      "too_long", "too_deep", "too_many_keys", "bad_field", "truncated"};
  return names[size_t(reason)];
}

std::string_view field_name(Field field) {
#define WEIR_FIELD_NAME(name) #name,
  constexpr std::array<std::string_view, kFieldCount> names{WEIR_FIELDS(WEIR_FIELD_NAME)};
#undef WEIR_FIELD_NAME
  return names[size_t(field)];
}

}  // namespace weir
