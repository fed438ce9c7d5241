#pragma once
#include <chrono>
#include <string>
#include <utility>

#include "agent/cli/console.h"

namespace weir::cli {

/// How far long work has come, in one line on stderr that writes over itself; silent where nobody looks.
class Progress {
 public:
  Progress(std::string command, std::string verb) : command_(std::move(command)), verb_(std::move(verb)) {}
  ~Progress() { end(); }
  /// Bytes. Cheap enough to be called often.
  void show(uint64_t done, uint64_t of) {
    const auto now = std::chrono::steady_clock::now();
    if (!stderr_is_terminal() || now < next_) return;
    next_ = now + std::chrono::milliseconds(200);
    write_err(fmt::format("\r\x1b[K{}: {} of {} {} ({}%)", command_, short_bytes(done), short_bytes(of),
                          verb_, of ? done * 100 / of : 100));
    visible_ = true;
  }
  /// Takes the line away. Safe twice.
  void end() {
    if (std::exchange(visible_, false)) write_err("\r\x1b[K");
  }

 private:
  const std::string command_, verb_;
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  bool visible_ = false;
};

}  // namespace weir::cli
