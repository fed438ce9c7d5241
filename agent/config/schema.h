#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "agent/core/options.h"

/// Every option of weir's own sections, declared once; those of listeners and sinks come from their
/// registries.
namespace weir::config {

/// A section of fixed shape, as `journal` or `streams.<name>.signature`.
struct SectionType {
  std::string_view path;  ///< empty: the top level
  std::string_view sentence;
  OptionTable options;
};

const SectionType& top_section();  ///< data_dir, drain_timeout
const SectionType& control_section();
const SectionType& metrics_section();
const SectionType& journal_section();
const SectionType& limits_section();
const SectionType& clients_section();
const SectionType& quarantine_section();
const SectionType& log_section();
const SectionType& sandbox_section();  ///< write, read
const SectionType& stream_section();   ///< enabled, sinks
const SectionType& signature_section();
const SectionType& context_diff_section();
const SectionType& set_section();  ///< overwrite; the other keys are paths
const SectionType& redact_section();
const SectionType& sample_section();

/// All of the above in the order of the reference.
std::vector<const SectionType*> all_sections();

/// The keys weir knows at the top level, `runtime` with them.
const std::vector<std::string_view>& top_level_names();

/// Words of the design whose part of the agent is not built yet: they get that answer, not a misleading "did
/// you mean". `where` is a path with `*` for names: "", "streams.*", "sinks.*", "sinks.*.type", "listen.*",
/// "journal.type"...
bool is_future(std::string_view where, std::string_view word);

const Option* find_option(const OptionTable& table, std::string_view name);

}  // namespace weir::config
