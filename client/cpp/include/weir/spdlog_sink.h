#pragma once
// A sink for programs that log with spdlog: what they log goes to weir, too. Needs spdlog's headers.
//   spdlog::default_logger()->sinks().push_back(std::make_shared<weir::SpdlogSink>());
// spdlog formats the text; trace and correlation ids of the logging thread come along (not behind an
// asynchronous logger, whose own thread calls its sinks).
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <string>

#include "weir/log.h"

namespace weir {

/// Has no lock: each thread has a ring of its own. The sink's pattern is not used, as weir has fields for all
/// that.
class SpdlogSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const auto view = [](spdlog::string_view_t s) { return std::string_view(s.data(), s.size()); };
    char where[256] = "";
    if (!message.source.empty())
      std::snprintf(where, sizeof where, "%s:%d", message.source.filename, message.source.line);
    weir::log(level(message.level), view(message.payload), view(message.logger_name), where);
  }
  void flush_() override {}

 private:
  static Level level(spdlog::level::level_enum l) {
    switch (l) {
      case spdlog::level::trace:
        return Level::trace;
      case spdlog::level::debug:
        return Level::debug;
      case spdlog::level::warn:
        return Level::warn;
      case spdlog::level::err:
        return Level::error;
      case spdlog::level::critical:
        return Level::fatal;
      default:
        return Level::info;
    }
  }
};

}  // namespace weir
