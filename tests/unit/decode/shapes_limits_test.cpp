// What hostile producers may do to the memory of shapes: it stays small, it stays right, and it comes back.
#include "tests/unit/decode/shape_pair.h"

using namespace weir;
using namespace std::literals;

namespace {

/// Members of so many bytes of glue in all, each with a number: `,"kkkk":1`.
std::string members_of_glue(size_t bytes) {
  constexpr size_t kMost = 200, kAround = 4;
  std::string text;
  for (int number = 0; bytes > 0; ++number) {
    const size_t take = bytes <= kMost ? bytes : std::min(kMost, bytes - 20);
    std::string key = std::to_string(number) + ".";
    key.append(take - kAround - key.size(), 'k');
    text += ",\"" + key + "\":1";
    bytes -= take;
  }
  return text;
}

}  // namespace

TEST_CASE("long glue is looked for within the record only") {
  with_each([](ShapePair& pair) {
    for (std::string_view value : {"1", "\"x\"", "null", "{}"}) {
      const std::string text = "{\"a\":\"x\",\"" + std::string(200, 'k') + "\":" + std::string(value) + "}";
      pair.judge(text);
      REQUIRE(pair.judge(text));
    }
    // Ends within the string before that glue; zeros stand behind it.
    for (std::string_view text : {R"({"a":"xyz)", R"({"a":")", R"({"a":"\")"}) {
      pair.judge(text);
      CHECK(pair.fault().offset == text.size());
    }
  });
}

TEST_CASE("glue is never mixed up with other glue, however much there is") {
  with_each([](ShapePair& pair) {
    // Eight shapes fill the memory of glue, which begins with `{"0":`. Exactly 64 KiB behind that would stand
    // a comma and the end of the last one, which must not be taken for `{` and `"0`.
    const auto text = [](int number, size_t glue, std::string_view end) {
      return "{\"" + std::to_string(number) + "\":1" + members_of_glue(glue) + std::string(end);
    };
    constexpr size_t kEach = 7'500, kAround = 5 + 1, kBeforeComma = 5 + 6;
    constexpr size_t kLast = 65'536 - 8 * (kEach + kAround) - kBeforeComma;
    for (int number = 0; number < 8; ++number) {
      pair.judge(text(number, kEach, "}"));
      CHECK(pair.judge(text(number, kEach, "}")));
    }
    for (int i = 0; i < 3; ++i) pair.judge(text(8, kLast, R"(,"z":[1,2]})"));
    CHECK_FALSE(pair.judge(text(8, kLast, R"(,"z":[1{2]})")));
    CHECK(pair.fault().reason == Reason::bad_json);
  });
}

namespace {

/// A decoder alone, for many records.
class Feed {
 public:
  explicit Feed(decode::ParseRecord parse) : parse_(parse) {}
  /// Was it known?
  bool take(std::string_view text) {
    line_.assign(text).append(64, ' ');
    const Fault fault = parse_({line_.data(), text.size()}, Stream::log, table_, work_);
    CHECK(shapes().size() <= decode::Shapes::kShapesMax);
    return !fault && table_.shape() != nullptr;
  }
  /// How many records until it rests (or no longer does), `most` at most.
  template <class Next>
  int until(bool resting, int most, Next next) {
    int records = 0;
    while (records < most && shapes().resting() != resting) take(next(records++));
    return records;
  }
  const decode::Shapes& shapes() const { return work_.shapes; }

 private:
  decode::ParseRecord parse_;
  decode::Workspace work_;
  FieldTable table_;
  std::string line_;
};

constexpr int kWindow = 1024, kRestMin = 4 * kWindow, kRestMax = 64 * kRestMin;
constexpr auto kGood = R"({"stream":"log","message":"m"})"sv;

std::string new_shape(int number) { return "{\"stream\":\"log\",\"k" + std::to_string(number) + "\":1}"; }

template <class Body>
void with_each_feed(Body body) {
  for (const auto parse : decode::parse_records()) {
    Feed feed(parse);
    body(feed);
  }
}

}  // namespace

TEST_CASE("ever new shapes are left alone for longer and longer, and forgotten") {
  with_each_feed([](Feed& feed) {
    int number = 0;
    const auto next = [&](int) { return new_shape(number++); };
    for (int rest = kRestMin, round = 0; round < 9; ++round) {
      CHECK(feed.until(true, kWindow + 1, next) == kWindow);
      const size_t held = feed.shapes().size();
      CHECK(held > 0);
      CHECK(feed.until(false, rest + 1, next) == rest);
      CHECK(feed.shapes().empty());
      CHECK(feed.shapes().memory_bytes() <= decode::Shapes::kMemoryBytesMax);
      rest = std::min(2 * rest, kRestMax);
    }
    // Known ones come back at once, and the next rest is a short one.
    CHECK_FALSE(feed.take(kGood));
    for (int i = 1; i < kWindow; ++i) CHECK(feed.take(kGood));
    CHECK(feed.until(true, 2 * kWindow, next) == kWindow);
    CHECK(feed.until(false, kRestMax, next) == kRestMin);
  });
}

TEST_CASE("a producer of new shapes beside one that repeats itself costs that one next to nothing") {
  with_each_feed([](Feed& feed) {
    feed.take(kGood);
    int number = 0, known = 0;
    for (int i = 0; i < 50'000; ++i) {
      known += feed.take(kGood);
      if (i % 5 < 4) feed.take(new_shape(number++));
    }
    CHECK(known > 49'900);  // all begin anew now and then, for there is no room for the others
    CHECK_FALSE(feed.shapes().resting());
    CHECK(feed.shapes().memory_bytes() <= decode::Shapes::kMemoryBytesMax);
  });
}

TEST_CASE("where there is no room for them, new shapes get their turn in the end") {
  with_each_feed([](Feed& feed) {
    // As many as there is room for; then one of those, and one more kind.
    const auto nth = [](int i) {
      return "{\"stream\":\"log\",\"a\":1,\"k" + std::to_string(i / 16) + "\":2,\"l" +
             std::to_string(i % 16) + "\":3}";
    };
    for (int i = 0; i < 256; ++i) feed.take(nth(i));
    REQUIRE(feed.shapes().size() == decode::Shapes::kShapesMax);
    const std::string old = nth(77);
    REQUIRE(feed.take(old));
    REQUIRE_FALSE(feed.take(kGood));
    int records = 0;
    for (; records < 40 * kWindow && !feed.take(kGood); ++records)
      for (int i = 0; i < 3; ++i) feed.take(old);
    CHECK(records < 40 * kWindow);
    feed.take(old);
    CHECK(feed.take(old));
  });
}

TEST_CASE("of shapes that differ in their last key sixteen are known") {
  with_each_feed([](Feed& feed) {
    const auto text = [](int key) {
      return R"({"stream":"log","a":"x","b":{"c":[1,"y"]},"k)" + std::to_string(key) + "\":1}";
    };
    int known[64] = {};
    for (int i = 0; i < 640; ++i) known[i % 64] += feed.take(text(i % 64));
    for (int key = 0; key < 64; ++key) CHECK(known[key] == (key < 16 ? 9 : 0));
    CHECK(feed.shapes().size() == 16);
    const size_t bytes = feed.shapes().memory_bytes();
    for (int key = 64; key < 10'000; ++key) {
      feed.take(text(key));
      if (key % 2 == 0) feed.take(text(key % 16));
    }
    CHECK(feed.shapes().size() <= 16);
    CHECK(feed.shapes().memory_bytes() == bytes);
  });
}

TEST_CASE("records that fit all but the end are refused each time, and teach nothing") {
  with_each_feed([](Feed& feed) {
    const std::string good = R"({"stream":"log","a":"x","b":{"c":[1,"y"]}})";
    std::vector<std::string> nearly;
    nearly.push_back(good.substr(0, good.size() - 1));
    for (std::string_view end : {"]", "}}", "},", "} {}", "}x", "}\"", ",", "\""})
      nearly.push_back(good.substr(0, good.size() - 1) + std::string(end));
    feed.take(good);
    feed.take(good);
    const size_t bytes = feed.shapes().memory_bytes();
    // As many good ones: no rest.
    for (int i = 0; i < 10 * kWindow; ++i) {
      CHECK_FALSE(feed.take(nearly[size_t(i) % nearly.size()]));
      REQUIRE(feed.take(good));
    }
    const auto next = [&](int i) { return nearly[size_t(i) % nearly.size()]; };
    CHECK(feed.until(true, 2 * kWindow, next) == kWindow - 2);
    CHECK(feed.shapes().size() == 1);
    CHECK(feed.shapes().memory_bytes() == bytes);
    CHECK(feed.until(false, kRestMax, [&](int) { return good; }) == kRestMin);
    CHECK_FALSE(feed.take(good));
    CHECK(feed.take(good));
  });
}

TEST_CASE("values that never fit their shape teach nothing either") {
  with_each_feed([](Feed& feed) {
    const auto text = [](std::string_view number) {
      return "{\"stream\":\"trace\",\"duration_ms\":" + std::string(number) + "}";
    };
    feed.take(text("1"));
    const size_t bytes = feed.shapes().memory_bytes();
    CHECK(feed.take(text("1.5")));
    // Whether this is finite the parser says.
    CHECK(feed.until(true, 2 * kWindow, [&](int) { return text("1e3"); }) == kWindow - 2);
    CHECK(feed.shapes().size() == 1);
    CHECK(feed.shapes().memory_bytes() == bytes);
  });
}

TEST_CASE("a record of more holes than a shape may have is never learned") {
  with_each_feed([](Feed& feed) {
    for (size_t holes : {510u, 511u, 512u, 2000u}) {
      std::string text = "{\"a\":[";
      for (size_t i = 0; i < holes; ++i) text += i > 0 ? ",1" : "1";
      text += "]}";
      feed.take(text);
      CHECK(feed.take(text) == (holes < decode::Shapes::kShapeStepsMax));
    }
  });
}

TEST_CASE("shapes of a great many members share a small memory") {
  with_each_feed([](Feed& feed) {
    // Each record is as good as 800 members that it lists, and new only at its end.
    std::string begin = "{\"stream\":\"trace\"";
    for (std::string_view field : {"ctx", "ctx_before", "ctx_after", "ctx_diff"}) {
      begin += ",\"" + std::string(field) + "\":{\"x\":1";
      for (int i = 0; i < 200; ++i) begin += ",\"" + std::to_string(i) + (i % 20 == 0 ? "\":\"\"" : "\":{}");
      begin += "}";
    }
    for (int i = 0; i < kWindow - 1; ++i)
      feed.take(begin + ",\"k" + std::to_string(i % 16) + "\":1,\"l" + std::to_string(i / 16) + "\":1}");
    CHECK(feed.shapes().size() > 1);
    CHECK(feed.shapes().memory_bytes() <= decode::Shapes::kMemoryBytesMax);
  });
}

TEST_CASE("one shape of very much glue, or of very many members, leaves the others their room") {
  with_each_feed([](Feed& feed) {
    std::string members = "{\"stream\":\"trace\"";
    for (std::string_view field : {"ctx", "ctx_before", "ctx_after"}) {
      members += ",\"" + std::string(field) + "\":{\"x\":1";
      for (int i = 0; i < 1000; ++i)
        members += ",\"" + std::to_string(i) + (i % 20 == 0 ? "\":\"\"" : "\":{}");
      members += "}";
    }
    for (const std::string& text : {"{\"a\":1" + members_of_glue(9'000) + "}", members + "}"}) {
      CHECK_FALSE(feed.take(text));
      CHECK_FALSE(feed.take(text));
    }
    CHECK(feed.shapes().size() == 0);
  });
}

TEST_CASE("however long the glue, its memory is bounded") {
  with_each_feed([](Feed& feed) {
    for (int i = 0; i < kWindow - 1; ++i)
      feed.take("{\"" + std::to_string(i) + "\":1" + members_of_glue(3000 + size_t(i)) + "}");
    CHECK(feed.shapes().size() > 10);
    CHECK(feed.shapes().memory_bytes() <= decode::Shapes::kMemoryBytesMax);
  });
}
