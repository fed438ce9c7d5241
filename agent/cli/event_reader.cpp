#include "agent/cli/event_reader.h"

namespace weir::cli {

void EventReader::feed(std::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != bytes.npos; bytes.remove_prefix(end + 1)) {
    if (partial_.empty()) {
      take_line(bytes.substr(0, end));
    } else {
      partial_ += bytes.substr(0, end);
      take_line(partial_);
      partial_.clear();
    }
  }
  partial_ += bytes;
}

void EventReader::take_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) {  // the end of an event
    if (has_data_) on_event_(type_, data_);
    type_.clear(), data_.clear(), has_data_ = false;
    return;
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == line.npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") type_ = value;
  if (field != "data") return;
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
}

}  // namespace weir::cli
