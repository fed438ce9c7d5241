#include "agent/sinks/common_options.h"

#include "agent/process/expression.h"

namespace weir {

OptionTable with_common_options(OptionTable own, std::string_view when_full) {
  own.push_back({.name = "where",
                 .type = OptionType::string,
                 .sentence = "Only records for which this expression is true; the others are counted as "
                             "filtered `where`. Null: all.",
                 .nullable = true});
  own.push_back({.name = "trace_slice",
                 .type = OptionType::choice,
                 .default_text = "all",
                 .sentence =
                     "`platform_internals`: records whose `step_name` begins with `system.obs.` or is "
                     "`supervisor.transport`; `business_logic`: all others. Also written `full`, "
                     "`topology` and `logical`.",
                 .choices = {"all", "business_logic", "platform_internals", "full", "logical", "topology"}});
  own.push_back({.name = "when_full",
                 .type = OptionType::choice,
                 .default_text = when_full,
                 .sentence =
                     "When the journal, or `max_lag_bytes`, is full of records that this sink has not "
                     "passed: `block` takes nothing more in, `drop_oldest` skips them (counted as "
                     "dropped `lag`).",
                 .choices = {"block", "drop_oldest"}});
  own.push_back({.name = "max_lag_bytes",
                 .type = OptionType::bytes,
                 .sentence =
                     "How far behind the sink may be before `when_full` decides, in bytes of its "
                     "streams; what one read of a connection brings (256 KiB) is always taken. Null: the "
                     "journal's size.",
                 .min = 64 << 10,
                 .max = INT64_C(1) << 40,
                 .nullable = true});
  own.push_back({.name = "start",
                 .type = OptionType::choice,
                 .default_text = "end",
                 .sentence = "Where a sink with a new name begins: at the `end` of the journal or with the "
                             "`oldest` record that it still holds.",
                 .choices = {"end", "oldest"}});
  return own;
}

std::vector<std::pair<std::string, std::string>> check_common_options(const Settings& s) {
  if (s.null("where")) return {};
  auto where = Expression::compile(s.text("where"));
  if (where) return {};
  return {{"where", "character " + std::to_string(where.error().column) + ": " + where.error().message}};
}

LagLimit lag_limit_of(const Settings& s) {
  return {s.text("when_full") == "block" ? WhenFull::block : WhenFull::drop_oldest,
          s.null("max_lag_bytes") ? UINT64_MAX : uint64_t(s.integer("max_lag_bytes"))};
}

StartAt start_of(const Settings& s) { return s.text("start") == "oldest" ? StartAt::oldest : StartAt::end; }

}  // namespace weir
