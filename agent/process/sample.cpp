#include "agent/process/sample.h"

#include <string>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/process/expression.h"

namespace weir {
namespace {

constexpr int kErrorSeverity = 17;

uint64_t finalise(uint64_t h) {
  h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD;
  h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53;
  return h ^ h >> 33;
}

double fraction(uint64_t h) { return double(h >> 11) * 0x1p-53; }

class Sample final : public Processor {
 public:
  explicit Sample(const SampleOptions& options) : options_(options) {
    WEIR_CHECK(options.ratio >= 0 && options.ratio <= 1);
  }

  Verdict process(const RecordView& record, EditList&) override {
    if (position(record) < options_.ratio) return Verdict::keep();
    if (options_.keep_errors && is_error(record)) return Verdict::keep();
    return {"sample"};
  }

 private:
  double position(const RecordView& record) {
    if (!record.fields.has(Field::trace_id)) return fraction(finalise(++untraced_ * 0x9E3779B97F4A7C15));
    const FieldValue& id = record.fields[Field::trace_id];
    std::string_view text = id.value.of(record.line);
    if (id.type == JsonType::string) {
      id_.clear();
      json::decode_string(text, id_);
      text = id_;
    }
    return sample_position(text);
  }

  static bool is_error(const RecordView& record) {
    const FieldTable& fields = record.fields;
    if (fields.has(Field::error)) return true;
    if (fields.has(Field::status) && json::string_is(fields[Field::status].value.of(record.line), "error"))
      return true;
    if (fields.has(Field::level) &&
        level_severity(fields[Field::level].value.of(record.line)) >= kErrorSeverity)
      return true;
    return fields.stream == Stream::monitoring &&
           level_severity(json::find_key(record.line, "severity")) >= kErrorSeverity;
  }

  const SampleOptions options_;
  uint64_t untraced_ = 0;  // records without a trace_id so far
  std::string id_;
};

}  // namespace

double sample_position(std::string_view trace_id) {
  uint64_t h = 0xCBF29CE484222325;
  for (const char c : trace_id) h = (h ^ uint8_t(c)) * 0x100000001B3;
  return fraction(finalise(h));
}

std::unique_ptr<Processor> make_sample(const SampleOptions& options) {
  return std::make_unique<Sample>(options);
}

}  // namespace weir
