// What fuzzing found, and what it starts from: every file of proto/vectors, without a fuzzer.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "tests/fuzz/decoder_oracle.h"
#include "tests/fuzz/oracles.h"
#include "tests/fuzz/record_mutator.h"
#include "tests/support/temp_dir.h"

using namespace weir;

namespace {

std::vector<std::string> vectors(std::string_view name = "records") {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(WEIR_ROOT "/proto/vectors/" + std::string(name)))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

void check_lines(test::DecoderOracle& oracle, std::string_view lines) {
  while (!lines.empty()) {
    const std::string_view record = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(record.size() + 1, lines.size()));
    CAPTURE(record);
    CHECK(oracle.check(record) == "");
  }
}

}  // namespace

TEST_CASE("every vector is judged and processed alike with and without experience") {
  REQUIRE(vectors().size() > 10);
  test::DecoderOracle all;
  for (const std::string& file : vectors()) {
    CAPTURE(file);
    const std::string lines = test::read_file(file);
    test::DecoderOracle alone;
    check_lines(alone, lines);
    check_lines(alone, lines);
    check_lines(all, lines);
  }
  CHECK(all.counts().known > 0);
}

TEST_CASE("so are random changes to them") {
  const unsigned seed = std::random_device{}();
  MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  std::vector<std::string> corpus;
  for (const std::string& file : vectors()) corpus.push_back(test::read_file(file));
  test::DecoderOracle::Counts counts;
  for (int i = 0; i < 300; ++i) {
    std::string lines = corpus[random() % corpus.size()];
    if (lines.size() > 20'000) continue;
    for (int n = 0; n < 4; ++n) test::RecordMutator(unsigned(random())).mutate(lines);
    test::DecoderOracle oracle;
    check_lines(oracle, lines);
    counts += oracle.counts();
  }
  MESSAGE(counts.records << " records, " << counts.accepted << " accepted, " << counts.known
                         << " known by shape");
  CHECK(counts.known * 4 > counts.accepted);
}

TEST_CASE("every vector of every other fuzzer holds what must be true of it") {
  for (const test::FuzzTarget& target : test::fuzz_targets()) {
    CAPTURE(target.name);
    REQUIRE(vectors(target.name).size() > 2);
    for (const std::string& file : vectors(target.name)) {
      CAPTURE(file);
      CHECK(target.check(test::read_file(file)) == "");
    }
  }
}

TEST_CASE("so do random changes to those") {
  std::mt19937 random(20261128);  // the fuzzers draw others
  for (const test::FuzzTarget& target : test::fuzz_targets()) {
    CAPTURE(target.name);
    std::vector<std::string> corpus;
    for (const std::string& file : vectors(target.name)) corpus.push_back(test::read_file(file));
    for (int i = 0; i < 200; ++i) {
      std::string text = corpus[random() % corpus.size()];
      for (unsigned n = random() % 4 + 1; n > 0 && !text.empty(); --n) {
        const size_t at = random() % text.size();
        const std::string& other = corpus[random() % corpus.size()];
        switch (random() % 4) {
          case 0:
            text[at] = char(random());
            break;
          case 1:
            text.erase(at, 1 + random() % 8);
            break;
          case 2:
            text.insert(at, other.substr(random() % (other.size() + 1), random() % 40));
            break;
          default:
            text.insert(at, text.substr(at, random() % 20));
        }
      }
      CAPTURE(text);
      CHECK(target.check(text) == "");
    }
  }
}
