#pragma once
// Logs. `{name}` in the message is replaced by that argument where the record is shown; the program only
// stores the arguments. The message is a string literal. Nothing is allocated, no system call made, nothing
// thrown.
//   WEIR_INFO("order {id} accepted", weir::arg("id", id), weir::arg("ms", 3.5));
//   #define WEIR_LOGGER "orders.intake"   // before including: the logger's name in this file
#include "weir/site.h"

#ifndef WEIR_LOGGER
#define WEIR_LOGGER ""
#endif
#define WEIR_TEXT_(x) #x
#define WEIR_TEXT(x) WEIR_TEXT_(x)
#define WEIR_HERE __FILE__ ":" WEIR_TEXT(__LINE__)

// The message is among the variable arguments because these may not be empty before C++20.
#define WEIR_FIRST_(first, ...) first
#define WEIR_LOG(level_, ...)                                                                          \
  do {                                                                                                 \
    static ::weir::detail::Site weir_call_site{::weir::ring::RecordKind::log, ::weir::Level::level_,   \
                                               "" WEIR_FIRST_(__VA_ARGS__, ), WEIR_LOGGER, WEIR_HERE}; \
    ::weir::detail::write_log(weir_call_site, __VA_ARGS__);                                            \
  } while (false)
#define WEIR_TRACE(...) WEIR_LOG(trace, __VA_ARGS__)
#define WEIR_DEBUG(...) WEIR_LOG(debug, __VA_ARGS__)
#define WEIR_INFO(...) WEIR_LOG(info, __VA_ARGS__)
#define WEIR_WARN(...) WEIR_LOG(warn, __VA_ARGS__)
#define WEIR_ERROR(...) WEIR_LOG(error, __VA_ARGS__)
#define WEIR_FATAL(...) WEIR_LOG(fatal, __VA_ARGS__)

namespace weir {
using ring::Level;

/// A log whose message is only known at run time, e.g. another logging library's. Costs more than the macros.
/// A text that does not fit is cut, and the record says so.
void log(Level level, std::string_view message, std::string_view logger = {},
         std::string_view where = {}) noexcept;

}  // namespace weir
