#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/core/clock.h"
#include "agent/process/processor.h"

namespace weir {

enum class ContextDiffMode { none, whitelist, full };

struct ContextDiffOptions {
  ContextDiffMode mode = ContextDiffMode::full;
  std::vector<std::string> whitelist = {};
  int64_t max_value_len = 256;  ///< code points
  bool snapshots = true;
  int64_t max_traces = 10000;
  int64_t max_context_bytes = 16 << 20;
  int64_t idle_ns = 600'000'000'000;
  bool operator==(const ContextDiffOptions&) const = default;
};

/// The last context of each ctx_id (else trace_id), for the light form (`ctx`, `ctx_set`, `ctx_unset`).
/// Bounded by the options; least recently used first out; an evicted id is remembered as such (bounded too),
/// so that its next record carries `ctx_reset`. Survives reload. Pipe thread only.
class ContextMemory;
std::shared_ptr<ContextMemory> make_context_memory();

/// records.md section 5, all forms. `memory` and `clock` outlive the processor.
std::unique_ptr<Processor> make_context_diff(const ContextDiffOptions& options,
                                             std::shared_ptr<ContextMemory> memory, const Clock& clock);

}  // namespace weir
