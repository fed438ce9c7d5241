#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/core/stream.h"
#include "agent/ring/arena.h"
#include "agent/ring/ring_clock.h"
#include "proto/ring.h"

namespace weir::ring {

/// What a record has become. A refusal is static text.
struct Transcoded {
  std::string_view line;  ///< kPadding readable bytes follow it
  Stream stream = Stream::log;
  bool plain = false;     ///< a record whatever its values are: nothing in it is left to be judged
  bool too_long = false;  ///< it would be longer than lines may be; `line` is empty
  std::string_view refused;
};

/// Records of a ring to lines of JSON, as the table of proto/RING.md says. Looks at private copies only. No
/// allocation once the longest line has been written.
class Transcoder {
 public:
  static constexpr size_t kPadding = 64;
  /// Bytes that must be readable behind a record.
  static constexpr size_t kReadBeyond = 16;
  /// Lines of up to `bytes_max` are written.
  void set_line_bytes_max(size_t bytes_max) { line_bytes_max_ = bytes_max; }
  /// `record` with its header, which has been checked: `bytes` is its size. The result is valid until the
  /// next call.
  const Transcoded& transcode(std::string_view record, ClockKind kind, Arena& arena, const RingClock& clock);

 private:
  struct Text {
    const char* at;
    size_t size;
    operator std::string_view() const { return {at, size}; }
  };
  /// What stands between header and arguments.
  struct Head {
    uint8_t has;
    const char* trace_id;
    const char* span_id;
    const char* parent_id;
    Text correlation_id, error_type, error_message;
    const char* first;  ///< a metric's value, a span's start
  };
  void refuse(std::string_view why) { out_.refused = why; }
  bool take(const char*& from, size_t bytes);
  template <class Size>
  bool take_text(Text& text);
  bool skip(ValueType type);
  bool read_head(const Site& site, Head& head);
  bool at_end();
  void site_record(const Site& site);
  void dynamic_record(uint32_t stream);
  bool write_message(const Site& site);
  void write_ids(const Head& head);
  void write_error(const Site& site, const Head& head);
  bool write_attributes(const Site& site);
  template <bool kInText>
  bool transfer(ValueType type);
  void write_json(std::string_view value);
  bool room(size_t bytes);
  bool grow(size_t bytes);
  int64_t time(const char* at) const;

  Transcoded out_;
  std::vector<char> buffer_ = std::vector<char>(16 << 10);
  char* to_ = nullptr;
  size_t line_bytes_max_ = 256 << 10;
  const char* from_ = nullptr;
  const char* end_ = nullptr;
  uint64_t record_clock_ = 0;
  ClockKind kind_ = ClockKind::realtime;
  Arena* arena_ = nullptr;
  const RingClock* clock_ = nullptr;
  size_t needed_ = 0;  ///< what is left of the record may become so many bytes
  std::array<const char*, 256> argument_at_;
};

}  // namespace weir::ring
