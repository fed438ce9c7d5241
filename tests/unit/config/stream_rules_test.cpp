#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

namespace {

using Entries = std::vector<SetOptions::Entry>;

}  // namespace

TEST_CASE("values of set are text, and what stands there without quotes as JSON writes it is that") {
  Workspace w;
  w.set("W_HOST", "5");
  const Config config = w.good(R"(streams:
  log:
    set:
      service: orders
      attributes.host: ${W_HOST}
      n: -1.50e+3
      yes: true
      no: "false"
      word: "12"
      zeros: 012
      plus: +1
      dot: 1.
      is: yes
sinks: {}
)");
  CHECK(stream(config, Stream::log).set.entries == Entries{{"service", "\"orders\""},
                                                           {"attributes.host", "\"5\""},
                                                           {"n", "-1.50e+3"},
                                                           {"yes", "true"},
                                                           {"no", "\"false\""},
                                                           {"word", "\"12\""},
                                                           {"zeros", "\"012\""},
                                                           {"plus", "\"+1\""},
                                                           {"dot", "\"1.\""},
                                                           {"is", "\"yes\""}});
  CHECK_FALSE(stream(config, Stream::log).set.overwrite);
  CHECK(config.notes.empty());
}

TEST_CASE("mistakes in the rules of a stream are shown where they stand") {
  Workspace w;
  w.set("W_TOKEN", "sekrit-(token");
  w.set("W_BYTES", "\xff\xfe");
  const Lines mistakes = w.mistakes(R"(streams:
  log:
    set:
      stream: trace
      ctx_after.x: 1
      _id: 5
      service: "${W_BYTES}"
      a: 1
      a.b: 2
      deep: {x: 1}
      list: [1]
      nothing:
      overwrite: maybe
    redact:
      keys: ["", x]
      paths: [a..b]
      patterns: ["ok", "(", "a*", "${W_TOKEN}", "\\b"]
      pattern: [x]
      replace: "${W_BYTES}"
    sample: {ratio: 2, keep: 1}
  trace: {sample: {keep_errors: false}, set: [a], redact: no}
)");
  CHECK(joined(mistakes) ==
        R"(weir.yaml:4:7: streams.log.set.stream: cannot be set: use default_stream of the listener
weir.yaml:5:7: streams.log.set.ctx_after.x: cannot be set: the context is what the producer says
weir.yaml:6:7: streams.log.set._id: cannot be set: names that begin with _ are the agent's own
weir.yaml:7:16: streams.log.set.service: is not UTF-8, and records must be
weir.yaml:9:7: streams.log.set.a.b: cannot be set beside a, which is one value: keep one
weir.yaml:10:7: streams.log.set.deep: must be one value: name a field in it with a dot, as deep.name
weir.yaml:11:7: streams.log.set.list: must be one value, not a list
weir.yaml:12:7: streams.log.set.nothing: has no value: write text, a number, true or false
weir.yaml:13:18: streams.log.set.overwrite: must be true or false, not "maybe"
weir.yaml:15:14: streams.log.redact.keys[0]: is empty: write a name
weir.yaml:16:15: streams.log.redact.paths[0]: is not a path: write names with single dots between them
weir.yaml:17:24: streams.log.redact.patterns[1]: not a regular expression of RE2: missing ): (
weir.yaml:17:29: streams.log.redact.patterns[2]: matches empty text, that is everywhere: make something of it required
weir.yaml:17:35: streams.log.redact.patterns[3]: a reference is not taken here: its value would be read as a regular expression, and shown
weir.yaml:17:49: streams.log.redact.patterns[4]: matches empty text, that is everywhere: make something of it required
weir.yaml:18:7: streams.log.redact.pattern: is not known here (did you mean patterns?)
weir.yaml:19:16: streams.log.redact.replace: is not UTF-8, and records must be
weir.yaml:20:21: streams.log.sample.ratio: must be a number from 0 to 1 such as 0.1, not "2"
weir.yaml:20:24: streams.log.sample.keep: is not known here
weir.yaml:21:19: streams.trace.sample.ratio: ratio is missing. The part that is kept.
weir.yaml:21:46: streams.trace.set: must be a map, not a list
weir.yaml:21:59: streams.trace.redact: must be a map, not one value
)");
}

TEST_CASE("rules that change nothing are noted") {
  Workspace w;
  const Config config = w.good(R"(streams:
  log:
    set: {overwrite: true}
    redact: {keys: []}
    sample: {ratio: 1}
  trace: {redact: {keys: [user.ssn], paths: [attributes]}}
sinks: {}
)");
  CHECK(
      joined(w.notes(config)) ==
      R"(weir.yaml:6:27: streams.trace.redact.keys[0]: is the name of one key, dots and all: a place inside of objects belongs under paths
weir.yaml:6:46: streams.trace.redact.paths[0]: attributes becomes text here: another weir agent refuses such a record as bad_field. Name what is in it where you can
weir.yaml:3:10: streams.log.set: names no field: nothing is set
weir.yaml:4:13: streams.log.redact: names no key, path or pattern: nothing is redacted
weir.yaml:5:13: streams.log.sample: with ratio 1 every record is kept
weir.yaml:6:19: streams.trace.redact: refused records cannot be redacted: the quarantine keeps them as they came, unless you write quarantine: {raw: false}
)");
}

TEST_CASE("ratios are numbers from 0 to 1") {
  for (const char* good : {"0", "1", "0.5", "1e-3", "0.123456789"}) CHECK(parse_ratio(good).has_value());
  for (const char* bad : {"", "-0.1", "1.01", "nan", "inf", "10%", "0,5", " 1", "0x1"})
    CHECK_FALSE(parse_ratio(bad).has_value());
  CHECK(*parse_ratio("0.25") == 0.25);
}
