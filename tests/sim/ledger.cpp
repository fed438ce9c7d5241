#include "tests/sim/ledger.h"

#include <algorithm>

namespace weir::test {

std::string judge(const std::vector<ClientLedger>& ledgers, const Delivered& delivered) {
  std::vector<std::vector<bool>> there(ledgers.size());
  std::vector<uint64_t> last(ledgers.size(), 0);
  for (size_t c = 0; c < ledgers.size(); ++c) there[c].resize(ledgers[c].sent + 1);
  for (size_t i = 0; i < delivered.lines.size(); ++i) {
    const std::string& line = delivered.lines[i];
    const auto record = SimRecord::parse(line);
    if (!record)
      return "line " + std::to_string(i) + " of " + std::to_string(delivered.lines.size()) +
             " was never sent, " + std::to_string(line.size()) + " bytes: " + line.substr(0, 200);
    const unsigned c = record->client();
    const std::string who = "record " + std::to_string(record->number()) + " of client " + std::to_string(c);
    if (c >= ledgers.size() || record->number() == 0 || record->number() > ledgers[c].sent)
      return who + " was never sent";
    if (!delivered.streams.has(record->stream())) return who + " is of another stream";
    if (delivered.once) {
      if (there[c][record->number()]) return who + " is there twice";
      if (record->number() < last[c]) return who + " stands behind " + std::to_string(last[c]);
    }
    there[c][record->number()] = true;
    last[c] = record->number();
  }
  if (!delivered.from_start) return {};
  uint64_t missing = 0;
  std::string first;
  for (const ClientLedger& ledger : ledgers)
    for (uint64_t n = 1; n <= ledger.sent; ++n) {
      const SimRecord record(ledger.client, n);
      if (there[ledger.client][n] || record.is_bad() || !delivered.streams.has(record.stream())) continue;
      if (ledger.is_excused(n)) continue;
      if (missing++ == 0)
        first = "record " + std::to_string(n) + " of " + (ledger.numbered ? "" : "plain ") + "client " +
                std::to_string(ledger.client) + " (sent " + std::to_string(ledger.sent) + ", durable " +
                std::to_string(ledger.promised_at(AckLevel::durable)) + ")";
    }
  if (missing <= delivered.missing_max) return {};
  return std::to_string(missing) + " records are missing, " + std::to_string(delivered.missing_max) +
         " are counted as dropped; the first is " + first;
}

}  // namespace weir::test
