#include "agent/decode/decoder.h"

#include <charconv>

#include "agent/core/json.h"
#include "agent/decode/parser.h"

namespace weir {
namespace decode {

std::span<const ParseRecord> parse_records() {
  static const std::vector<ParseRecord> usable = [] {
    std::vector<ParseRecord> list;
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
    if (avx512) list.push_back(parse_record_avx512);
    if (avx2) list.push_back(parse_record_avx2);
    list.push_back(parse_record_sse2);
    return list;
  }();
  return usable;
}

void grow_quotes(Workspace& work, size_t words) {
  work.quotes.resize(words * 2);
  work.quote_places.resize(std::min(words * 2 * 64, Shapes::kTextBytesMax + 64) + 64);
}

size_t decode_padded(std::string_view raw, std::string& out) {
  out.clear();
  json::decode_string(raw, out);
  const size_t size = out.size();
  out.append(16, '\0');
  return size;
}

bool finite_number(std::string_view text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc::result_out_of_range) return true;
  // Out of range is also what is too close to zero.
  if (text.front() == '-') text.remove_prefix(1);
  return json::compare_numbers(text, "1") < 0;
}

}  // namespace decode

struct Decoder::State {
  decode::Workspace work;
  decode::ParseRecord parse = decode::parse_records().front();
};

Decoder::Decoder() : state_(std::make_unique<State>()) {}
Decoder::~Decoder() = default;

Fault Decoder::decode(std::string_view payload_untrusted, std::optional<Stream> default_stream,
                      FieldTable& out) {
  return state_->parse(payload_untrusted, default_stream, out, state_->work);
}

}  // namespace weir
