#pragma once
#include <future>
#include <memory>

#include "agent/cli/connect.h"

namespace weir::cli {

/// Connects to the agent in the background, one attempt at a time: neither a name server nor a host that does
/// not answer holds up who waits. An attempt that is never taken ends with the process.
class Connector {
 public:
  explicit Connector(IngestAddress address) : address_(std::move(address)) {}

  /// Begins an attempt. Error: no thread or descriptor can be had.
  Result<void> start();
  /// Readable when the attempt is over; -1 when none runs.
  int fd() const { return event_ ? event_->get() : -1; }
  /// Once fd() is readable. Error: as connect_ingest().
  Result<Fd> take();

 private:
  const IngestAddress address_;
  std::shared_ptr<Fd> event_;  ///< shared with the attempt's thread
  std::future<Result<Fd>> result_;
};

}  // namespace weir::cli
