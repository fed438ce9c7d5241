#pragma once
// Records that say themselves what they hold (ring.h, kDynamic): steps, boundaries, alerts, logs whose
// message is only known at run time.
#include <cstdint>
#include <string>
#include <string_view>

#include "weir/value.h"

namespace weir::detail {

enum class DynamicStream : uint32_t { trace = 0, log = 1, telemetry = 2, monitoring = 3 };

/// Collects members, then writes the record. Each member that does not fit any more is cut (texts) or becomes
/// null (JSON), and the record says that it was shortened: so the ones that matter come first.
class DynamicRecord {
 public:
  explicit DynamicRecord(DynamicStream stream) noexcept;
  DynamicRecord(const DynamicRecord&) = delete;
  DynamicRecord& operator=(const DynamicRecord&) = delete;
  ~DynamicRecord();

  void text(const char* name, std::string_view value) noexcept;
  void text_if(const char* name, std::string_view value) noexcept {
    if (!value.empty()) text(name, value);
  }
  void integer(const char* name, int64_t value) noexcept;
  void number(const char* name, double value) noexcept;
  void time(const char* name, uint64_t clock) noexcept;
  void id(const char* name, const uint8_t* bytes, size_t count) noexcept;  ///< 16 or 8
  void json(const char* name, std::string_view value) noexcept;
  /// For members that come now, each with its name and kMemberBytes.
  size_t room() const noexcept { return failed_ ? SIZE_MAX : budget_ - size_; }
  static constexpr size_t kMemberBytes = 6;
  /// Something was cut before it came here.
  void set_shortened() noexcept { shortened_ = true; }
  /// What the thread's context has of ids.
  void ids(bool trace, bool span) noexcept;
  void write(bool important) noexcept;

 private:
  bool member(const char* name, ring::ValueType type, size_t bytes) noexcept;
  void put(const void* from, size_t count) noexcept;

  const DynamicStream stream_;
  bool shortened_ = false, failed_ = false;
  size_t budget_;  ///< of bytes, without header and mark
  size_t size_ = 0, room_ = kInline;
  char* data_ = inline_;
  static constexpr size_t kInline = 1024;
  char inline_[kInline];
};

/// A value as JSON. Throws std::bad_alloc.
void append_value(std::string& out, const Value& value);

}  // namespace weir::detail
