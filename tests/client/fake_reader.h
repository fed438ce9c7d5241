#pragma once
// Plays the agent inside the test's process: maps the rings' memory anew from their descriptors, as the agent
// would, and decodes by proto/ring.h.
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "client/cpp/src/process.h"
#include "client/cpp/src/to_json.h"

namespace weir::test {

/// What static initialisers logged (main.cpp).
inline std::vector<std::string> before_main;

/// The memory of one ring, by its descriptor; the data once.
struct MappedRing {
  explicit MappedRing(int fd) {
    void* const header_page = mmap(nullptr, ring::kHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    header = static_cast<ring::RingHeader*>(header_page);
    bytes = ring::kHeaderBytes + header->capacity;
    data = static_cast<char*>(mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0)) + ring::kHeaderBytes;
  }
  ~MappedRing() {
    munmap(data - ring::kHeaderBytes, bytes);
    munmap(header, ring::kHeaderBytes);
  }
  MappedRing(const MappedRing&) = delete;
  MappedRing& operator=(const MappedRing&) = delete;

  /// Copies of the records from tail to head.
  std::vector<std::string> records() const {
    std::vector<std::string> out;
    const uint64_t head = header->head.load(std::memory_order_acquire);
    for (uint64_t at = header->tail.load(); at < head;) {
      std::string record;
      uint32_t length;
      copy(at, sizeof length, record);
      std::memcpy(&length, record.data(), sizeof length);
      if (length < sizeof(ring::RecordHeader) || length % ring::kAlign || length > header->capacity / 4)
        return {};
      copy(at, length, record);
      out.push_back(record);
      at += length;
    }
    return out;
  }
  void copy(uint64_t at, size_t count, std::string& to) const {
    to.clear();
    for (size_t i = 0; i < count; ++i) to += data[(at + i) & (header->capacity - 1)];
  }

  ring::RingHeader* header;
  char* data;
  size_t bytes;
};

/// Lines of JSON of all that is in the rings of this process, by the records' clocks; takes them over.
inline std::vector<std::string> take_all() {
  static detail::ToJson to_json;
  detail::Process& p = detail::process;
  std::multimap<uint64_t, std::string> records;
  const detail::Lock lock(p.rings_lock);  // the connection's thread lets go of those that are drained
  for (detail::Ring* r = p.rings.load(); r; r = r->next) {
    MappedRing mapped(r->fd);
    for (const std::string& record : mapped.records()) {
      ring::RecordHeader header;
      std::memcpy(&header, record.data(), sizeof header);
      records.emplace(header.clock, record);
      mapped.header->tail.fetch_add(record.size());
    }
  }
  to_json.learn(p.arena.data, p.arena.used);  // behind the records: their sites are there
  const detail::ClockMap clock(p.clock);
  std::vector<std::string> out;
  for (auto& [clock_value, record] : records) {
    std::string line;
    out.push_back(to_json.append(line, record.data(), record.size(), clock) ? line : "not a record");
  }
  return out;
}

/// Numbers of time and random ids, replaced by `N` and `ID`, so that lines can be compared.
inline std::string stable(std::string line) {
  for (const std::string key : {"ts", "start", "end", "trace_id", "span_id", "parent_span_id"})
    for (size_t at = 0; (at = line.find("\"" + key + "\":", at)) != line.npos;) {
      at += key.size() + 3;
      const bool text = line[at] == '"';
      const size_t end = text ? line.find('"', at + 1) + 1 : line.find_first_of(",}", at);
      line.replace(at, end - at, text ? "ID" : "N");
    }
  return line;
}

inline size_t lines_with(const std::vector<std::string>& lines, const std::string& text) {
  return size_t(std::count_if(lines.begin(), lines.end(), [&](auto& l) { return l.find(text) != l.npos; }));
}

}  // namespace weir::test
