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

#define WEIR_LOG(level_, message_, ...)                                                              \
  do {                                                                                               \
    static ::weir::detail::Site weir_call_site{::weir::ring::RecordKind::log, ::weir::Level::level_, \
                                               "" message_, WEIR_LOGGER, WEIR_HERE};                 \
    ::weir::detail::write_log(weir_call_site, ##__VA_ARGS__);                                        \
  } while (false)
#define WEIR_TRACE(message_, ...) WEIR_LOG(trace, message_, ##__VA_ARGS__)
#define WEIR_DEBUG(message_, ...) WEIR_LOG(debug, message_, ##__VA_ARGS__)
#define WEIR_INFO(message_, ...) WEIR_LOG(info, message_, ##__VA_ARGS__)
#define WEIR_WARN(message_, ...) WEIR_LOG(warn, message_, ##__VA_ARGS__)
#define WEIR_ERROR(message_, ...) WEIR_LOG(error, message_, ##__VA_ARGS__)
#define WEIR_FATAL(message_, ...) WEIR_LOG(fatal, message_, ##__VA_ARGS__)

namespace weir {
using ring::Level;

/// A log whose message is only known at run time, e.g. another logging library's. Costs more than the macros.
/// A text that does not fit is cut, and the record says so.
void log(Level level, std::string_view message, std::string_view logger = {},
         std::string_view where = {}) noexcept;

}  // namespace weir
