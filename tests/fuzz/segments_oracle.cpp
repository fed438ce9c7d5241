#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "agent/journal/segment_reader.h"
#include "tests/fuzz/edits.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

constexpr int kTransactions = 12;
const std::string kUuid = "6e8bc430-9c3a-4d0e-8f00-1234567890ab";

struct Written {
  uint32_t index;
  Position before;
  std::string lines, marks;
};

/// A segment with transactions of several sizes, with marks and without.
std::string make_segment(std::vector<Written>& written) {
  SegmentHeader header;
  header.uuid = header.journal_uuid = kUuid;
  std::string file = encode(header);
  Boundary at;
  for (uint32_t n = 0; n < kTransactions; ++n) {
    std::string head(kTransactionHeaderBytes, '\0'), lines, marks;
    TransactionHeader h;
    h.index = n, h.before = at, h.records = n % 4;
    for (uint32_t i = 0; i < h.records; ++i) {
      const std::string line =
          "{\"n\":" + std::to_string(at.position + i) + ",\"m\":\"" + std::string(n * 9, 'x') + "\"}\n";
      append_index(head, {0, uint32_t(line.size()), Stream::log});
      lines += line;
      ++at.totals.records[size_t(Stream::log)], at.totals.bytes[size_t(Stream::log)] += line.size();
    }
    if (n % 3 == 0)
      append_mark(marks, {{std::make_shared<ClientIdentity>(ClientIdentity{"client", 7}), n}, 1});
    written.push_back({n, h.before.position, lines, marks});
    at.position += h.records;
    seal_transaction(head, lines, marks, h, kUuid);
    file += head + lines + marks;
  }
  return file;
}

}  // namespace

std::string check_segments(std::string_view input) {
  std::vector<Written> written;
  const std::string file = edited(make_segment(written), input);
  const int fd = memfd_create("segment", MFD_CLOEXEC);
  if (fd < 0 || write(fd, file.data(), file.size()) != ssize_t(file.size())) return "no memory for a file";
  SegmentReader reader(system_io(), fd, kUuid, file.size());
  StoredTransaction t;
  uint64_t end = 0;
  while (reader.next(t)) {
    if (t.offset < end) return "two transactions overlap";
    end = t.end_offset();
    if (t.header.index >= written.size()) return "a transaction that nobody wrote";
    const Written& w = written[t.header.index];
    if (t.header.before.position != w.before || t.lines != w.lines || t.marks != w.marks)
      return "transaction " + std::to_string(t.header.index) + " is not as it was written";
    decode_marks(t.marks);
    if (t.header.records > 0) block_of(t);
  }
  for (const auto& range : reader.damaged())
    if (range.begin >= range.end || range.end > file.size()) return "a damaged range outside the file";
  reader.end_of_data();
  SegmentHeader header;
  decode(reader.header(), header);
  decode_marks(input);
  return {};
}

}  // namespace weir::test
