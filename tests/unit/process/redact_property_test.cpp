// Random records and rules. What a rule names is one of a few values that stand nowhere else, so that the
// unredacted output with these replaced as text is what must come out, byte for byte.
#include <nlohmann/json.hpp>
#include <random>
#include <regex>

#include "agent/core/clock.h"
#include "agent/process/context_diff.h"
#include "agent/process/redact.h"
#include "agent/process/set_fields.h"
#include "agent/process/signature.h"
#include "tests/unit/process/run_processor.h"

using namespace weir;

namespace {

constexpr uint32_t kSeed = 0x5eed0043;

/// What must not leave. A value of the kind that each rule takes.
const std::vector<std::string> kSecretValues{R"("CANARY-1")",
                                             R"("CANARY-2")",
                                             "77770001",
                                             "77770002",
                                             R"({"CANARY":"CANARY","q":[1,"CANARY"]})",
                                             R"(["CANARY",{"p":"CANARY"}])",
                                             R"("")"};
/// All spellings of one key, as those that the rules name.
const std::vector<std::string> kSecretKeys{"password", "pass\\u0077ord", "\\u0070assword"};

class Random {
 public:
  explicit Random(uint32_t seed, bool users_below = true) : engine_(seed), users_below_(users_below) {}
  size_t below(size_t n) { return engine_() % n; }
  template <class T>
  const T& one_of(const std::vector<T>& list) {
    return list[below(list.size())];
  }
  std::string space() { return below(6) == 0 ? " " : ""; }

  std::string plain_value(int depth) {
    static const std::vector<std::string> kScalars{
        "1", "1.0", "2E+1", "true", "null", R"("x")", R"("caf\u00e9 \/")", R"("😀,}")"};
    if (depth == 0 || below(3) > 0) return one_of(kScalars);
    if (below(3) > 0) return object(depth - 1, users_below_);
    std::string out = "[";
    for (size_t i = 0, n = below(4); i < n; ++i) out += (i ? "," : "") + space() + plain_value(depth - 1);
    return out + "]";
  }

  /// Now and then with a secret under a key of the rules.
  std::string object(int depth, bool user = true) {
    static const std::vector<std::string> kKeys{"a", "b", "\\u0063", "d.e", "é", "before", "after", "value"};
    std::string out = "{" + space();
    size_t count = 0;
    for (const std::string& key : kKeys) {
      if (below(3) > 0) continue;
      out += (count++ ? "," : "") + space() + "\"" + key + "\":" + space() + plain_value(depth);
    }
    if (below(2) == 0) out += (count++ ? "," : "") + space() + "\"" + one_of(kSecretKeys) + "\":" + secret();
    if (user && below(3) == 0)
      out += std::string(count++ ? "," : "") + "\"user\":{\"ssn\":" + one_of(kSecretValues) +
             ",\"n\":" + plain_value(0) + "}";
    return out + space() + "}";
  }
  std::string secret() { return one_of(kSecretValues); }

 private:
  std::mt19937 engine_;
  const bool users_below_;  // deeper than where random_record() asks for an object
};

/// The processors of a trace stream as the pipeline runs them.
class TraceStream {
 public:
  TraceStream(const ContextDiffOptions& diff, std::shared_ptr<Redactor> redactor)
      : redactor_(std::move(redactor)),
        diff_(make_context_diff(diff, make_context_memory(), clock_)),
        set_(make_set({.entries = {{"attributes.password", R"("CANARY-1")"}, {"service", R"("s")"}}})) {
    processors_ = {diff_.get(), set_.get()};
  }
  std::string run(std::string_view record) {
    in_.assign(record);
    in_.append(64, ' ');
    const std::string_view line(in_.data(), record.size());
    CAPTURE(std::string(record));
    REQUIRE(!decoder_.decode(line, Stream::trace, fields_));
    edits_.reset(line, fields_.member_count);
    for (Processor* p : processors_) REQUIRE(p->process({line, fields_}, edits_).kept());
    std::string out(edits_.rendered_bytes_max(), '?');
    out.resize(size_t(edits_.render(out.data()) - out.data()));
    std::string redacted;
    return redactor_ && redactor_->rewrite(out, edits_.made_spans(), redacted) ? redacted : out;
  }

 private:
  std::shared_ptr<Redactor> redactor_;
  ManualClock clock_;
  std::unique_ptr<Processor> diff_, set_;
  std::vector<Processor*> processors_;
  Decoder decoder_;
  FieldTable fields_;
  EditList edits_;
  std::string in_;
};

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// Secrets replaced where they stand behind one of the keys, and both sides of their entries in a diff.
std::string model(std::string text, bool ssn) {
  static const std::string kNames = R"x(("(?:password|pass\\u0077ord|\\u0070assword)":\s*))x";
  static const std::string kSsn = R"x(("ssn":))x", kDotted = R"x(("user\.ssn":))x";
  static const std::string kSecret =
      R"x((?:"CANARY-\d"|7777000\d|\{"CANARY":"CANARY","q":\[1,"CANARY"\]\}|\["CANARY",\{"p":"CANARY"\}\]|""))x";
  // In a diff: first the side before, then the one after. Null there is an absent value.
  static const std::string kBefore = R"x((\{"before":))x" + kSecret;
  static const std::string kAfter = R"x((\{"before":(?:null|"\*\*\*"),"after":))x" + kSecret;
  static const std::regex names(kNames + kSecret), before(kNames + kBefore), after(kNames + kAfter);
  static const std::regex ssns(kSsn + kSecret), ssn_before(kDotted + kBefore), ssn_after(kDotted + kAfter);
  text = std::regex_replace(text, names, R"($1"***")");
  text = std::regex_replace(text, before, R"($1$2"***")");
  text = std::regex_replace(text, after, R"($1$2"***")");
  if (!ssn) return text;
  text = std::regex_replace(text, ssns, R"($1"***")");
  text = std::regex_replace(text, ssn_before, R"($1$2"***")");
  return std::regex_replace(text, ssn_after, R"($1$2"***")");
}

std::string random_record(Random& random) {
  const std::string id = std::to_string(random.below(4));
  std::string out = R"({"stream":"trace","trace_id":")" + id + "\"," + random.space();
  switch (random.below(5)) {
    case 0:
      out += R"("ctx_before":)" + random.object(2) + R"(,"ctx_after":)" + random.object(2);
      break;
    case 1:
      out += R"("ctx":)" + random.object(2);
      break;
    case 2:
      out += R"("ctx_set":)" + random.object(1) + (random.below(2) ? R"(,"ctx_unset":["password","a"])" : "");
      break;
    case 3:
      out += R"("ctx_diff":{"password":{"before":)" + random.secret() + R"(,"after":)" + random.secret() +
             R"(},"b":{"before":)" + random.object(1) + R"(,"after":1}})";
      break;
    default:
      out += R"("ctx_before":null,"ctx_after":)" + random.object(1) + R"(,"ctx_diff":null)";
  }
  return out + R"(,"attributes":)" + random.object(2) + R"(,"list":[)" + random.object(1) + "]" +
         random.space() + "}";
}

void check_stream(ContextDiffOptions diff, const RedactOptions& rules, bool ssn, uint32_t seed,
                  bool users_below = true) {
  diff.max_value_len = UINT32_MAX;
  TraceStream plain(diff, nullptr), redacted(diff, std::make_shared<Redactor>(rules, 0));
  Random random(seed, users_below);
  for (int n = 0; n < 2000; ++n) {
    const std::string record = random_record(random);
    const std::string line = redacted.run(record);
    CAPTURE(seed);
    CAPTURE(n);
    CAPTURE(record);
    if (ssn) {
      REQUIRE(line.find("CANARY") == line.npos);
      REQUIRE(line.find("7777000") == line.npos);
    }
    REQUIRE(line == model(plain.run(record), ssn));
  }
}

}  // namespace

TEST_CASE("a secret under a redacted key or path never leaves, and everything else does as it was") {
  ContextDiffOptions full, listed, diff_only;
  listed.mode = ContextDiffMode::whitelist;
  listed.whitelist = {"password", "user.ssn", "a", "d.e", "b", "user.n"};
  diff_only.snapshots = false;
  uint32_t seed = kSeed;
  for (const ContextDiffOptions& diff : {full, listed, diff_only}) {
    check_stream(diff, {.keys = {"password"}}, false, ++seed);
    check_stream(diff, {.keys = {"password", "ssn"}}, true, ++seed);
    check_stream(diff,
                 {.keys = {"password"},
                  .paths = {"ctx_after.user.ssn", "attributes.user.ssn", "list.user.ssn",
                            "ctx_diff.b.before.user.ssn"}},
                 true, ++seed, false);
  }
}

TEST_CASE("what a pattern names never leaves, wherever it stands and however it is spelled") {
  ContextDiffOptions full;
  full.max_value_len = UINT32_MAX;
  TraceStream redacted(
      full,
      std::make_shared<Redactor>(
          RedactOptions{.keys = {"password"}, .patterns = {"(?i)canary(-\\d)?", "7777\\d*", "\\bs\\d{3}\\b"}},
          40));
  Random random(kSeed);
  const std::vector<std::string> spelled{R"("a CANARY b")",
                                         R"("\u0043ANAR\u0059-1")",
                                         R"("s123")",
                                         R"("x s\u0031\u00323")",
                                         "77771234",
                                         R"(["s999"])",
                                         "\"" + std::string(60, 'x') + " canary\"",
                                         "\"" + std::string(36, 'x') + " canary\""};
  for (int n = 0; n < 3000; ++n) {
    std::string record = random_record(random);
    record = replace_all(record, R"("x")", random.one_of(spelled));
    CAPTURE(record);
    const std::string line = redacted.run(record);
    REQUIRE(nlohmann::json::accept(line));
    for (const char* secret :
         {"CANARY\"", "CANARY-", "CANARY b", "canary", "ANAR\\u0059", "s123", "s999", "u00323", "7777"}) {
      CAPTURE(line);
      // Keys are not looked at, and one key of the records has the name.
      REQUIRE(replace_all(line, "\"CANARY\":", "").find(secret) == line.npos);
    }
  }
}

TEST_CASE("identity and hash are those of the message with its secrets replaced") {
  Random random(kSeed);
  const auto redactor = std::make_shared<Redactor>(RedactOptions{.keys = {"password", "ssn"}}, 0);
  const auto plain = make_signature({SignatureMode::hash});
  const auto redacted = make_signature({SignatureMode::hash}, redactor);
  test::Runner plain_runner(*plain), redacted_runner(*redacted);
  for (int n = 0; n < 2000; ++n) {
    const std::string in = random.object(2), out = random.object(1);
    const std::string record = R"({"msg_in":{"value":)" + in + R"(},"msg_out":[{"value":)" + out +
                               R"(},{"value":)" + random.secret() + "}]}";
    CAPTURE(record);
    std::string line(redacted_runner.run(record)), done;
    if (redactor->rewrite(line, {}, done)) line = done;
    REQUIRE(line == plain_runner.run(model(record, true)));
  }
}
