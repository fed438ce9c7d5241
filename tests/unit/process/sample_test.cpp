#include "agent/process/sample.h"

#include <cmath>

#include "tests/unit/process/run_processor.h"

using namespace weir;

namespace {

class Sampler {
 public:
  explicit Sampler(const SampleOptions& options) : sample_(make_sample(options)) {}
  bool keeps(std::string_view record, Stream stream = Stream::log) {
    in_.assign(record);
    in_.append(64, ' ');
    const std::string_view line(in_.data(), record.size());
    REQUIRE(!decoder_.decode(line, stream, fields_));
    const Verdict verdict = sample_->process({line, fields_}, edits_);
    if (!verdict.kept()) CHECK(verdict.dropped_by == "sample");
    return verdict.kept();
  }

 private:
  std::unique_ptr<Processor> sample_;
  Decoder decoder_;
  FieldTable fields_;
  EditList edits_;
  std::string in_;
};

std::string traced(size_t n) { return R"({"trace_id":"t-)" + std::to_string(n) + "\"}"; }

}  // namespace

TEST_CASE("where a trace falls never changes between versions") {
  // Computed from the formula in sample.h by another program.
  CHECK(sample_position("") == 0.93676944839044);
  CHECK(sample_position("t-1") == 0.9841683871852004);
  CHECK(sample_position("4bf92f3577b34da6a3ce929d0e0e4736") == 0.9000390389919163);
}

TEST_CASE("about the ratio of traces is kept, and a larger ratio keeps all that a smaller one does") {
  Sampler tenth({.ratio = 0.1}), half({.ratio = 0.5}), all({.ratio = 1}), none({.ratio = 0});
  int kept_tenth = 0, kept_half = 0;
  for (size_t n = 0; n < 20'000; ++n) {
    const bool in_tenth = tenth.keeps(traced(n)), in_half = half.keeps(traced(n));
    kept_tenth += in_tenth, kept_half += in_half;
    CHECK((in_half || !in_tenth));
    CHECK(all.keeps(traced(n)));
    CHECK_FALSE(none.keeps(traced(n)));
  }
  CHECK(std::abs(kept_tenth - 2000) < 200);
  CHECK(std::abs(kept_half - 10'000) < 400);
}

TEST_CASE("the spelling of a trace_id does not matter") {
  Sampler half({.ratio = 0.5});
  for (int n = 0; n < 100; ++n) {
    const std::string digits = std::to_string(n);
    std::string escaped;
    for (char c : digits) escaped += std::string("\\u003") + c;
    const bool kept = half.keeps("{\"trace_id\":" + digits + "}");
    CHECK(half.keeps("{\"trace_id\":\"" + digits + "\"}") == kept);
    CHECK(half.keeps("{\"x\":1,\"trace_id\":\"" + escaped + "\"}") == kept);
  }
}

TEST_CASE("records without a trace_id are taken by their count, in no pattern") {
  Sampler tenth({.ratio = 0.1});
  int kept = 0, kept_even = 0;
  for (int n = 0; n < 20'000; ++n) {
    const bool keeps = tenth.keeps(n % 3 ? R"({"m":"same"})" : R"({"trace_id":null})");
    kept += keeps, kept_even += keeps && n % 2 == 0;
  }
  CHECK(std::abs(kept - 2000) < 200);
  CHECK(std::abs(kept_even - 1000) < 150);
}

TEST_CASE("errors are kept unless told otherwise") {
  Sampler none({.ratio = 0}), not_even({.ratio = 0, .keep_errors = false});
  for (const char* record :
       {R"({"status":"error"})", R"({"status":"err\u006fr"})", R"({"level":"ERROR"})",
        R"({"level":"critical"})", R"({"level":3})", R"({"level":17})", R"({"error":{"type":"T"}})"}) {
    CAPTURE(record);
    CHECK(none.keeps(record));
    CHECK_FALSE(not_even.keeps(record));
  }
  for (const char* record : {R"({"status":"ok"})", R"({"level":"warn"})", R"({"error":null})",
                             R"({"severity":"error"})", R"({"m":"error"})"}) {
    CAPTURE(record);
    CHECK_FALSE(none.keeps(record));
  }
  CHECK(none.keeps(R"({"severity":"critical"})", Stream::monitoring));
  CHECK_FALSE(none.keeps(R"({"severity":"warning"})", Stream::monitoring));
}
