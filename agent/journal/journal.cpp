#include "agent/journal/journal.h"

namespace weir {

uint64_t Totals::records_of(StreamSet set) const {
  uint64_t sum = 0;
  for (Stream s : kStreams)
    if (set.has(s)) sum += records[size_t(s)];
  return sum;
}

uint64_t Totals::bytes_of(StreamSet set) const {
  uint64_t sum = 0;
  for (Stream s : kStreams)
    if (set.has(s)) sum += bytes[size_t(s)];
  return sum;
}

Totals& operator+=(Totals& to, const Totals& more) {
  for (size_t i = 0; i < kStreamCount; ++i) {
    to.records[i] += more.records[i];
    to.bytes[i] += more.bytes[i];
  }
  return to;
}

BatchView first_records(const BatchView& batch, uint64_t records) {
  BatchView out;
  out.streams = batch.streams;
  out.begin = out.end = batch.begin;
  for (const BatchSlice& slice : batch.slices) {
    BatchSlice part{slice.block, slice.first_entry, 0, slice.begin, slice.before, 0, slice.received_ns};
    out.end = slice.begin;
    out.covered = slice.before;
    while (part.entry_count < slice.entry_count && out.records < records) {
      const IndexEntry& e = slice.block->entry(slice.first_entry + part.entry_count++);
      ++out.covered.records[size_t(e.stream)], out.covered.bytes[size_t(e.stream)] += e.length;
      ++out.end;
      if (batch.streams.has(e.stream)) ++out.records, ++part.records, out.bytes += e.length;
    }
    out.slices.push_back(std::move(part));
    if (out.records == records) break;
  }
  return out;
}

}  // namespace weir
