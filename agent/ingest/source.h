#pragma once
#include <memory>
#include <string>

#include "agent/core/frame_handler.h"
#include "agent/core/options.h"
#include "agent/core/result.h"

namespace weir {

/// Bytes enter here. Lives on the pipe thread, all methods are called there. Trusts nothing it reads.
class Source {
 public:
  virtual ~Source() = default;
  /// Listening when it returns. Error: nothing was taken, text names the address and the remedy.
  virtual Result<void> start(FrameHandler& handler) = 0;
  /// Goes on with what an agent before this one has had kept. Once, after start(), when the handler is set up
  /// and before anything is read.
  virtual void adopt() {}
  /// Takes the connections that already wait, then no new ones; reads what is there.
  virtual void stop_accepting() = 0;
  /// True when every connection has been read until it was empty.
  virtual bool drained() const = 0;
  /// Closes everything. Safe without start(), safe twice.
  virtual void stop() noexcept = 0;
  /// What start(), or once that was called reconfigure(), would fail at, before anything has been touched.
  virtual Result<void> check(const Settings& settings) const = 0;
  /// Takes another name and other options for the same address, without closing anything.
  virtual Result<void> reconfigure(const std::string& name, const Settings& settings) = 0;
  /// Tells numbered clients a policy that has changed (interface.md section 2). `policy` is a JSON object.
  virtual void push_policy(const std::string& policy) = 0;
  /// The listening socket once more, for a source that takes over the address: the caller's.
  virtual int share_socket() const = 0;
  /// As in the ready line: `unix:/run/weir/weir.sock`, `tcp:127.0.0.1:4320` (the real port).
  virtual std::string address() const = 0;
  virtual std::shared_ptr<SourceStats> stats() const = 0;
};

}  // namespace weir
