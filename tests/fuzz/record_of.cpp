#include "agent/core/json.h"
#include "agent/decode/decoder.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

bool is_record(std::string& text) {
  static Decoder decoder;
  FieldTable fields;
  text.reserve(text.size() + 64);
  return !decoder.decode(text, Stream::log, fields);
}

}  // namespace

std::string record_of(std::string_view text, std::initializer_list<std::string_view> fields) {
  std::string out(text);
  if (is_record(out)) return out;
  out = R"({"stream":"log")";
  for (const std::string_view field : fields) {
    out += ',';
    json::append_quoted(out, field);
    out += ':';
    json::append_quoted(out, text);
  }
  out += '}';
  if (is_record(out)) return out;
  out = R"({"stream":"log","level":"warn","service":"s","duration_ms":1.5,"attributes":{"a":[1,"x",null]}})";
  return is_record(out) ? out : std::string();
}

}  // namespace weir::test
