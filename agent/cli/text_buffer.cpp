#include "agent/cli/text_buffer.h"

#include <fmt/format.h>

#include "agent/core/clock.h"

namespace weir::cli {

TextBuffer::TextBuffer(SendSession& session, std::string_view service, size_t bytes_max)
    : session_(session), bytes_max_(bytes_max) {
  if (service.empty()) return;
  service_member_ = "\"service\":\"";
  append_message(service_member_, service, SIZE_MAX);
  service_member_ += "\",";
}

void TextBuffer::add(const TextRecord& record) {
  if (waiting_.empty() && gap_lines_ == 0 && session_.room()) {
    session_.take({record.json, record.file, record.line});
  } else if (bytes_max_ > 0 && (gap_lines_ > 0 || bytes_ + record.json.size() > bytes_max_)) {
    gap_lines_ += record.lines;
    dropped_lines_ += record.lines;
  } else {
    push(record);
  }
}

void TextBuffer::push(const TextRecord& record) {
  waiting_.push_back({std::string(record.json), std::string(record.file), record.line, record.lines});
  bytes_ += waiting_.back().cost();
}

void TextBuffer::move(int64_t wall_ns) {
  while (!waiting_.empty() && session_.room()) {
    const Waiting& next = waiting_.front();
    session_.take({next.json, next.file, next.line});
    bytes_ -= next.cost();
    waiting_.pop_front();
  }
  if (gap_lines_ > 0 && session_.ready() && bytes_ <= bytes_max_ / 2) end_gap(wall_ns);
}

void TextBuffer::finish(int64_t wall_ns) {
  if (gap_lines_ > 0) end_gap(wall_ns);
}

void TextBuffer::end_gap(int64_t wall_ns) {
  const std::string record = fmt::format(
      R"({{"stream":"log","ts":"{}","level":"warn",{}"message":"weir send: {} lines dropped","attributes":{{"dropped_lines":{}}}}})",
      rfc3339(wall_ns), service_member_, gap_lines_, gap_lines_);
  gap_lines_ = 0;
  push({record, "-", 0, 0});
}

void TextBuffer::give_up() {
  for (const Waiting& record : waiting_) dropped_lines_ += record.lines;
  waiting_.clear();
  bytes_ = 0;
}

}  // namespace weir::cli
