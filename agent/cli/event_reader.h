#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace weir::cli {

/// Server-sent events from bytes in any pieces, as far as the agent uses them: `event:`, `data:`, comments.
class EventReader {
 public:
  /// `type` is empty for a plain event. `data` is valid during the call.
  using OnEvent = std::function<void(std::string_view type, std::string_view data)>;
  explicit EventReader(OnEvent on_event) : on_event_(std::move(on_event)) {}
  void feed(std::string_view bytes);

 private:
  void take_line(std::string_view line);

  OnEvent on_event_;
  std::string partial_, type_, data_;
  bool has_data_ = false;
};

}  // namespace weir::cli
