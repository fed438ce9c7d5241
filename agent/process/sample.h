#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "agent/process/processor.h"

namespace weir {

struct SampleOptions {
  double ratio = 1;  ///< 0 to 1: the share of traces that is kept
  bool keep_errors = true;
  bool operator==(const SampleOptions&) const = default;
};

/// Where a trace id falls in [0, 1); it is kept when that is below the ratio. The same in every agent and
/// version: FNV-1a (64 bits) over the decoded id, then the finaliser of MurmurHash3, the upper 53 bits as a
/// fraction.
double sample_position(std::string_view trace_id);

/// Drops by the rule `sample`. Records of one trace_id share one fate; those without one are taken by their
/// count, evenly but in no pattern. Comes last, so that the remembered contexts see every record.
std::unique_ptr<Processor> make_sample(const SampleOptions& options);

}  // namespace weir
