#include "agent/journal/checkpoint.h"
#include "tests/fuzz/edits.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

Checkpoint sample() {
  Checkpoint c;
  c.generation = 41, c.boot_id = "boot", c.oldest = 3, c.written = 90, c.synced = 70;
  CursorPlace place;
  place.at.position = 60, place.passed = 50, place.dropped = 10;
  place.stretches = {{{Stream::log}, false, {}}, {StreamSet::all()}};
  place.note = "{\"delivered\":50,\"state\":{\"files\":[]}}";
  c.cursors["out"] = {place, place, 1, "boot"};
  c.cursors["forward"] = {place, place, 2, "boot"};
  return c;
}

}  // namespace

std::string check_checkpoint(std::string_view input) {
  const std::string text = encode(sample()), now = edited(text, input);
  const auto read = decode_checkpoint(now);
  if (!read) return {};
  const std::string again = encode(*read);
  const auto read_again = decode_checkpoint(again);
  if (!read_again || encode(*read_again) != again) return "what it says is not what is read again";
  if (!input.starts_with('R') && again != text) return "a changed checkpoint is taken for whole";
  return {};
}

}  // namespace weir::test
