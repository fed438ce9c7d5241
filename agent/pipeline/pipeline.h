#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/edit_list.h"
#include "agent/core/frame_handler.h"
#include "agent/core/latency.h"
#include "agent/core/quarantine.h"
#include "agent/decode/decoder.h"
#include "agent/journal/journal.h"
#include "agent/pipeline/clients.h"
#include "agent/process/processor.h"
#include "agent/process/redact.h"

namespace weir {

struct PipelineStream {
  bool enabled = true;
  std::vector<std::unique_ptr<Processor>> processors;  ///< in the order in which their fields are appended
  std::shared_ptr<Redactor> redactor;                  ///< of what they leave; null: nothing is redacted
};

/// Everything of the pipeline that a reload changes.
struct PipelineSetup {
  std::array<PipelineStream, kStreamCount> streams;
  std::string policy;                  ///< JSON object (interface.md section 2)
  size_t record_bytes_max = SIZE_MAX;  ///< of an element of an array; of lines the source sees to it
  int64_t client_memory_ns = 0;
  size_t clients_max = 0;
};

/// What a stream has taken in, the disabled one too.
struct StreamStats {
  uint64_t records = 0, bytes = 0;
};

/// Frames in, transactions out: decode, number, process, render into the current block. Everything on the
/// pipe thread.
class Pipeline final : public FrameHandler {
 public:
  /// `journal`, `quarantine` (for refused input) and `clock` outlive it.
  Pipeline(Journal& journal, Quarantine& quarantine, const Clock& clock);
  ~Pipeline() override;

  /// Between turns: from the next record on.
  void apply(PipelineSetup setup);

  Intake on_frame(Producer& producer, std::string_view payload_untrusted) override;
  Intake on_line(Producer& producer, Stream stream, std::string_view line) override;
  Intake on_last_frame(Producer& producer, std::string_view payload_untrusted) override;
  void on_bad_frame(Producer& producer, Reason reason, std::string_view head_untrusted,
                    uint64_t length) override;
  Intake on_turn_end(Producer& producer) override;
  Result<Welcome> on_hello(Producer& producer, Hello hello) override;
  void on_jump(Producer& producer, uint64_t next_seq) override;
  void on_close(Producer& producer) override;
  std::string policy() const override { return setup_.policy; }
  uint64_t journal_mark() const override { return journal_.mark(); }
  bool has_reached(uint64_t mark, AckLevel level) const override { return journal_.reached(level) >= mark; }
  AckLevel level_max() const override { return journal_.level_max(); }
  bool is_secured(uint64_t mark) const override { return journal_.secured() >= mark; }

  /// After Journal::on_space, or when a journal that had failed gets on: appends what waits. taken: sources
  /// may go on.
  Intake retry_pending();
  /// Records that were taken and are not in the journal yet.
  uint64_t pending_records() const;

  const ClientTable& clients() const { return clients_; }
  const std::array<StreamStats, kStreamCount>& stream_stats() const { return stream_stats_; }
  /// From the turn in which a record was read until the journal had it, by the wall clock.
  const LatencyHistogram& journalled() const { return journalled_; }

 private:
  /// A transaction of one source (a turn reads one connection). It may hold no records, only how far its
  /// client has come.
  struct Pending {
    Transaction transaction;
    std::shared_ptr<SourceStats> stats;
    std::shared_ptr<ClientState> client;
  };
  void on_record(Producer& producer, std::string_view payload);
  Intake on_array(Producer& producer, std::string_view payload);
  void too_long(Producer& producer, std::string_view head, uint64_t length);
  bool is_duplicate(Producer& producer, uint64_t seq);
  bool turn_is_long(const Producer& producer) const;
  void reject(Producer& producer, uint64_t seq, const Fault& fault, std::string_view payload,
              uint64_t length);
  void render(Producer& producer, const RecordView& record);
  void add_line(Producer& producer, Stream stream, std::string_view line);
  void render_redacted(Producer& producer, const RecordView& record, Redactor& redactor);
  void count_line(Stream stream, size_t bytes);
  void add_agent_fields(Producer& producer, const RecordView& record, bool lacks_time);
  char* reserve(Producer& producer, size_t bytes);
  void close_transaction(Producer& producer, uint64_t seq);
  Intake append_pending();
  void give_back();
  void hasten(Producer& producer);
  void begin_turn();

  Journal& journal_;
  Quarantine& quarantine_;
  const Clock& clock_;
  PipelineSetup setup_;
  Decoder decoder_;
  ArraySplitter splitter_;
  FieldTable fields_;
  EditList edits_;
  std::string rendered_, redacted_;  ///< a line of a stream that is redacted, before and after
  ClientTable clients_;
  std::array<StreamStats, kStreamCount> stream_stats_{};
  LatencyHistogram journalled_;

  std::shared_ptr<Block> block_;  ///< lines are rendered into its tail
  Transaction open_;              ///< what the turn has rendered since the last close_transaction()
  std::vector<Pending> pending_;  ///< closed, waiting for the journal; empty unless it is full
  int64_t turn_ns_ = 0;           ///< wall clock of this turn; 0 between turns
  char turn_time_[32];            ///< the same as RFC 3339, in quotes
};

}  // namespace weir
