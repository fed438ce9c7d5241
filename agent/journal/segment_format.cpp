#include "agent/journal/segment_format.h"

#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "agent/core/check.h"
#include "agent/journal/crc32c.h"

namespace weir {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kSegmentMagic = "WEIRSEG\n";
constexpr size_t kUuidBytes = 36;
constexpr uint8_t kClientMark = 1;
constexpr size_t kMarkBytes = 24;  // before the name

template <class T>
void put(char* bytes, size_t offset, T value) {
  std::memcpy(bytes + offset, &value, sizeof value);
}
template <class T>
T get(const char* bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes + offset, sizeof value);
  return value;
}

void put(char* bytes, size_t offset, const Boundary& b) {
  put(bytes, offset, b.position);
  for (size_t i = 0; i < kStreamCount; ++i) {
    put(bytes, offset + 8 + 8 * i, b.totals.records[i]);
    put(bytes, offset + 40 + 8 * i, b.totals.bytes[i]);
  }
}
Boundary get_boundary(const char* bytes, size_t offset) {
  Boundary b;
  b.position = get<uint64_t>(bytes, offset);
  for (size_t i = 0; i < kStreamCount; ++i) {
    b.totals.records[i] = get<uint64_t>(bytes, offset + 8 + 8 * i);
    b.totals.bytes[i] = get<uint64_t>(bytes, offset + 40 + 8 * i);
  }
  return b;
}

/// The records of all streams are those before it.
bool plausible(const Boundary& b) {
  uint64_t records = 0;
  for (uint64_t n : b.totals.records) records += n;
  return records == b.position;
}

uint32_t sum_of(std::string_view segment_uuid, std::string_view summed) {
  return crc32c(crc32c(0, segment_uuid), summed);
}

}  // namespace

std::string encode(const SegmentHeader& h) {
  WEIR_CHECK(h.uuid.size() == kUuidBytes && h.journal_uuid.size() == kUuidBytes);
  std::string out(kSegmentHeaderBytes, '\0');
  char* p = out.data();
  std::memcpy(p, kSegmentMagic.data(), kSegmentMagic.size());
  put(p, 12, h.format);
  put(p, 16, h.sequence);
  put(p, 24, h.made_ns);
  put(p, 32, h.first);
  std::memcpy(p + 104, h.uuid.data(), kUuidBytes);
  std::memcpy(p + 140, h.journal_uuid.data(), kUuidBytes);
  put(p, 176, uint32_t(h.rewrites) | uint32_t(h.jumped_from.has_value()) << 1);
  put(p, 184, h.jumped_from.value_or(0));
  put(p, 8, crc32c(0, p + 12, kSegmentHeaderBytes - 12));
  return out;
}

bool decode(std::string_view bytes, SegmentHeader& out) {
  if (bytes.size() < kSegmentHeaderBytes || !bytes.starts_with(kSegmentMagic)) return false;
  const char* p = bytes.data();
  if (get<uint32_t>(p, 8) != crc32c(0, p + 12, kSegmentHeaderBytes - 12)) return false;
  out.format = get<uint32_t>(p, 12);
  out.sequence = get<uint64_t>(p, 16);
  out.made_ns = get<int64_t>(p, 24);
  out.first = get_boundary(p, 32);
  out.uuid.assign(p + 104, kUuidBytes);
  out.journal_uuid.assign(p + 140, kUuidBytes);
  const uint32_t flags = get<uint32_t>(p, 176);
  out.rewrites = flags & 1;
  out.jumped_from.reset();
  if (flags & 2) out.jumped_from = get<uint64_t>(p, 184);
  return out.format != kJournalFormat || plausible(out.first);
}

std::string segment_name(uint64_t sequence, std::string_view uuid) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%012llu", static_cast<unsigned long long>(sequence));
  return digits + ("-" + std::string(uuid)) + ".wseg";
}

bool parse_segment_name(std::string_view name, uint64_t& sequence, std::string& uuid) {
  constexpr std::string_view suffix = ".wseg";
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), sequence);
  name.remove_prefix(size_t(end - name.data()));
  if (error != std::errc() || name.size() != kUuidBytes + 1 || name[0] != '-') return false;
  uuid = name.substr(1);
  return true;
}

void append_mark(std::string& out, const RememberedClient& client) {
  const ClientIdentity& who = *client.mark.client;
  char fixed[kMarkBytes] = {};
  put(fixed, 0, kClientMark);
  put(fixed, 1, uint8_t(who.uid.has_value()));
  put(fixed, 2, uint16_t(who.client_id.size()));
  put(fixed, 4, uint32_t(who.uid.value_or(0)));
  put(fixed, 8, client.mark.seq);
  put(fixed, 16, client.seen_ns);
  out.append(fixed, sizeof fixed).append(who.client_id);
}

std::vector<RememberedClient> decode_marks(std::string_view marks) {
  std::vector<RememberedClient> out;
  while (marks.size() >= kMarkBytes && marks[0] == char(kClientMark)) {
    const char* p = marks.data();
    const size_t length = get<uint16_t>(p, 2);
    if (marks.size() < kMarkBytes + length) break;
    ClientIdentity who{std::string(marks.substr(kMarkBytes, length)), {}};
    if (get<uint8_t>(p, 1)) who.uid = get<uint32_t>(p, 4);
    out.push_back(
        {{std::make_shared<ClientIdentity>(std::move(who)), get<uint64_t>(p, 8)}, get<int64_t>(p, 16)});
    marks.remove_prefix(kMarkBytes + length);
  }
  return out;
}

void seal_transaction(std::string& head, std::string_view lines, std::string& tail, TransactionHeader h,
                      std::string_view segment_uuid) {
  h.lines_bytes = uint32_t(lines.size()), h.marks_bytes = uint32_t(tail.size());
  h.length = uint32_t(head.size() + lines.size() + tail.size());
  char* p = head.data();
  std::memcpy(p, kTransactionMagic.data(), kTransactionMagic.size());
  put(p, 4, h.length);
  put(p, 12, h.records);
  put(p, 16, h.index);
  put(p, 20, h.flags);
  put(p, 24, h.received_ns);
  put(p, 32, h.synced);
  put(p, 40, h.lines_bytes);
  put(p, 44, h.marks_bytes);
  put(p, 48, h.before);
  uint32_t crc = sum_of(segment_uuid, std::string_view(head).substr(4, 4));
  crc = crc32c(crc, std::string_view(head).substr(12));
  crc = crc32c(crc, lines);
  put(p, 8, crc32c(crc, tail));
  tail.resize(tail.size() + StoredTransaction::padded(h.length) - h.length);
}

bool decode(std::string_view bytes, TransactionHeader& out) {
  if (bytes.size() < kTransactionHeaderBytes || !bytes.starts_with(kTransactionMagic)) return false;
  const char* p = bytes.data();
  out.length = get<uint32_t>(p, 4);
  out.records = get<uint32_t>(p, 12);
  out.index = get<uint32_t>(p, 16);
  out.flags = get<uint32_t>(p, 20);
  out.received_ns = get<int64_t>(p, 24);
  out.synced = get<uint64_t>(p, 32);
  out.lines_bytes = get<uint32_t>(p, 40);
  out.marks_bytes = get<uint32_t>(p, 44);
  out.before = get_boundary(p, 48);
  return out.length >= kTransactionHeaderBytes && out.length <= kTransactionBytesMax;
}

bool verify(std::string_view bytes, std::string_view segment_uuid) {
  uint32_t crc = sum_of(segment_uuid, bytes.substr(4, 4));
  return get<uint32_t>(bytes.data(), 8) == crc32c(crc, bytes.substr(12));
}

bool split(std::string_view bytes, StoredTransaction& out) {
  const TransactionHeader& h = out.header;
  const uint64_t index_bytes = 4 * uint64_t(h.records);
  if (kTransactionHeaderBytes + index_bytes + h.lines_bytes + h.marks_bytes != h.length) return false;
  out.index = bytes.substr(kTransactionHeaderBytes, index_bytes);
  out.lines = bytes.substr(kTransactionHeaderBytes + index_bytes, h.lines_bytes);
  out.marks = bytes.substr(kTransactionHeaderBytes + index_bytes + h.lines_bytes, h.marks_bytes);
  uint64_t lines = 0;
  out.totals = {};
  for (uint32_t n = 0; n < h.records; ++n) {
    const IndexEntry e = index_entry(out.index, n);
    if (size_t(e.stream) >= kStreamCount || e.length == 0) return false;
    ++out.totals.records[size_t(e.stream)], out.totals.bytes[size_t(e.stream)] += e.length;
    lines += e.length;
  }
  return lines == h.lines_bytes && plausible(h.before);
}

}  // namespace weir
