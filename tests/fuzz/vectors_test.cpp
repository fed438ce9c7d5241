// What fuzzing found, and what it starts from: every file of proto/vectors/records, without a fuzzer.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "tests/fuzz/decoder_oracle.h"
#include "tests/fuzz/record_mutator.h"
#include "tests/support/temp_dir.h"

using namespace weir;

namespace {

std::vector<std::string> vectors() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(WEIR_ROOT "/proto/vectors/records"))
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
