#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weir::cli {

/// One record of the demonstration, and when it is sent.
struct DemoRecord {
  int64_t at_ns;     ///< after the start
  std::string line;  ///< with line feed
};

/// Three short traces of an order pipeline in the light form (records.md section 5), one of them failing,
/// with logs, metrics and an alert. About two seconds. `start_ns` is the wall clock of the start, `random`
/// gives 64 random bits.
std::vector<DemoRecord> demo_records(int64_t start_ns, const std::function<uint64_t()>& random);

}  // namespace weir::cli
