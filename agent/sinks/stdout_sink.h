#pragma once
#include <string>
#include <vector>

#include "agent/sinks/sink.h"

namespace weir {

/// Writes records to standard output: JSON lines for pipes, readable lines for people. A closed pipe makes
/// the sink `down`, never the agent; a reader that does not read holds this sink only, and can be interrupted
/// by stop.
class StdoutSink final : public Sink {
 public:
  StdoutSink(const Settings& settings, const SinkContext& context);
  ~StdoutSink() override { close(); }
  Result<void> open() override;
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  void close() noexcept override;

 private:
  void render(const BatchView& batch);
  uint64_t lines_out() const;

  std::string format_;
  bool terminal_ = false, colour_ = false;
  int fd_ = -1;
  bool own_fd_ = false;
  std::string text_;               ///< what is left of a line that was cut, and the batch in hand, rendered
  size_t rest_bytes_ = 0;          ///< of that line
  std::vector<size_t> line_ends_;  ///< of the batch's records in text_
  size_t written_ = 0;             ///< bytes of text_ that are out
};

extern const SinkType kStdoutSinkType;

}  // namespace weir
