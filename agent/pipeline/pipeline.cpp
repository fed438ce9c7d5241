#include "agent/pipeline/pipeline.h"

#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include "agent/core/check.h"
#include "agent/core/log.h"

namespace weir {
namespace {

constexpr size_t kRejectsPerTurnMax = 2048;
constexpr size_t kRedactBytesKept = 4 << 20;  // larger buffers are for one record only

}  // namespace

Pipeline::Pipeline(Journal& journal, Quarantine& quarantine, const Clock& clock)
    : journal_(journal), quarantine_(quarantine), clock_(clock), clients_(clock) {
  clients_.remember(journal.remembered_clients(), journal.mark());
}

Pipeline::~Pipeline() = default;

void Pipeline::apply(PipelineSetup setup) {
  clients_.set_limits(setup.client_memory_ns, setup.clients_max);
  journal_.set_client_limits(setup.client_memory_ns, setup.clients_max);
  setup_ = std::move(setup);
}

void Pipeline::begin_turn() {
  if (turn_ns_ != 0) return;
  turn_ns_ = clock_.wall_ns();
  turn_time_[0] = *format_rfc3339(turn_time_ + 1, turn_ns_) = '"';
}

/// A turn ends early when it has filled a block, so that a small read cannot become gigabytes in waiting, or
/// when its replies become many.
bool Pipeline::turn_is_long(const Producer& producer) const {
  return !pending_.empty() || producer.rejects.size() >= kRejectsPerTurnMax;
}

Intake Pipeline::on_frame(Producer& producer, std::string_view payload) {
  begin_turn();
  if (is_array_line(payload)) [[unlikely]] {
    Intake intake = on_array(producer, payload);
    if (intake == Intake::again) return intake;
  } else if (payload.size() > setup_.record_bytes_max)
      [[unlikely]] {  // a whole HTTP body; lines are cut before
    too_long(producer, payload.substr(0, kQuarantineRawBytesMax), payload.size());
  } else {
    on_record(producer, payload);
  }
  producer.stats->bytes += payload.size();
  return turn_is_long(producer) ? Intake::pause : Intake::taken;
}

/// Decoding finds what processors, redaction and stamp need; without them the line goes as it is.
Intake Pipeline::on_line(Producer& producer, Stream stream, std::string_view line) {
  const PipelineStream& s = setup_.streams[size_t(stream)];
  if (producer.stamp || s.redactor || !s.processors.empty() || line.size() > setup_.record_bytes_max)
    return on_frame(producer, line);
  begin_turn();
  SourceStats& stats = *producer.stats;
  ++producer.records;
  stats.bytes += line.size();
  if (const uint64_t seq = producer.client ? producer.next_seq++ : 0; !is_duplicate(producer, seq)) {
    StreamStats& stream_stats = stream_stats_[size_t(stream)];
    ++stream_stats.records;
    stream_stats.bytes += line.size();
    if (s.enabled)
      add_line(producer, stream, line);
    else
      ++stats.received, ++stats.accepted, ++stats.disabled;
  }
  return turn_is_long(producer) ? Intake::pause : Intake::taken;
}

/// Each element is judged for itself; a long array takes several turns.
Intake Pipeline::on_array(Producer& producer, std::string_view payload) {
  if (Fault fault = splitter_.split(payload)) {
    uint64_t seq = producer.client ? producer.next_seq++ : 0;
    ++producer.records;
    if (!is_duplicate(producer, seq)) reject(producer, seq, fault, payload, payload.size());
    return Intake::taken;
  }
  const auto& elements = splitter_.elements();
  while (producer.array_done < elements.size()) {
    const std::string_view element = elements[producer.array_done++].of(payload);
    if (element.size() > setup_.record_bytes_max)
      too_long(producer, element.substr(0, kQuarantineRawBytesMax), element.size());
    else
      on_record(producer, element);
    if (producer.array_done < elements.size() && turn_is_long(producer)) return Intake::again;
  }
  producer.array_done = 0;
  return Intake::taken;
}

/// A number that was disposed of before: counted, and not stored or refused twice.
bool Pipeline::is_duplicate(Producer& producer, uint64_t seq) {
  if (!producer.client || seq > producer.client->last_seq) return false;
  SourceStats& stats = *producer.stats;
  ++stats.received, ++stats.accepted, ++stats.duplicate;
  return true;
}

Intake Pipeline::on_last_frame(Producer& producer, std::string_view payload) {
  // Whole means: JSON to its end. A cut may also fall into a character.
  Fault fault = is_array_line(payload) ? splitter_.split(payload)
                                       : decoder_.decode(payload, producer.default_stream, fields_);
  if (fault.reason != Reason::bad_json && fault.reason != Reason::bad_utf8)
    return on_frame(producer, payload);
  on_bad_frame(producer, Reason::truncated, payload, payload.size());
  return Intake::taken;
}

void Pipeline::on_bad_frame(Producer& producer, Reason reason, std::string_view head, uint64_t length) {
  begin_turn();
  producer.stats->bytes += length;
  if (reason == Reason::too_long) return too_long(producer, head, length);
  ++producer.records;
  if (reason == Reason::bad_json) {
    const uint64_t seq = producer.client ? producer.next_seq++ : 0;
    if (!is_duplicate(producer, seq))
      reject(producer, seq, {reason, 0, "a ring's record that makes no sense"}, head, length);
    return;
  }
  reject(producer, 0, {reason, 0, "the connection ended within the record"}, head, length);
}

void Pipeline::too_long(Producer& producer, std::string_view head, uint64_t length) {
  const uint64_t seq = producer.client ? producer.next_seq++ : 0;
  ++producer.records;
  if (is_duplicate(producer, seq)) return;
  reject(producer, seq, {Reason::too_long, 0, "longer than limits.record_bytes_max"}, head, length);
}

void Pipeline::on_record(Producer& producer, std::string_view payload) {
  SourceStats& stats = *producer.stats;
  ++producer.records;
  uint64_t seq = producer.client ? producer.next_seq++ : 0;
  if (is_duplicate(producer, seq)) return;  // before the processors, so that no state changes twice
  if (Fault fault = decoder_.decode(payload, producer.default_stream, fields_)) {
    reject(producer, seq, fault, payload, payload.size());
    return;
  }
  StreamStats& stream_stats = stream_stats_[size_t(fields_.stream)];
  ++stream_stats.records;
  stream_stats.bytes += payload.size();
  PipelineStream& stream = setup_.streams[size_t(fields_.stream)];
  if (!stream.enabled) {
    ++stats.received, ++stats.accepted, ++stats.disabled;
    return;
  }
  RecordView record{payload, fields_};
  edits_.reset(payload, fields_.member_count);
  for (auto& processor : stream.processors) {
    Verdict verdict = processor->process(record, edits_);
    if (!verdict.kept()) {
      ++stats.received, ++stats.accepted;
      auto rule = stats.dropped_by_rule.find(verdict.dropped_by);
      if (rule == stats.dropped_by_rule.end())
        rule = stats.dropped_by_rule.emplace(verdict.dropped_by, 0).first;
      ++rule->second;
      return;
    }
  }
  render(producer, record);
}

void Pipeline::reject(Producer& producer, uint64_t seq, const Fault& fault, std::string_view head,
                      uint64_t length) {
  ++producer.rejected;
  ++producer.stats->received;
  ++producer.stats->rejected[size_t(fault.reason)];
  quarantine_.add_reject(turn_ns_, producer, seq, fault, head, length);
  if (seq > 0) producer.rejects.push_back({seq, fault});
  log::sampled(log::Level::warn, producer.stats->name, "{}: record refused from {}: {} at byte {}: {}",
               producer.stats->name, producer.peer.address, reason_name(fault.reason), fault.offset,
               fault.detail);
}

void Pipeline::render(Producer& producer, const RecordView& record) {
  const Stream stream = record.fields.stream;
  const bool lacks_time = stream != Stream::trace && !record.fields.has(Field::ts);
  if (producer.stamp || lacks_time) add_agent_fields(producer, record, lacks_time);
  if (Redactor* redactor = setup_.streams[size_t(stream)].redactor.get())
    return render_redacted(producer, record, *redactor);
  if (edits_.empty()) return add_line(producer, stream, record.line);
  size_t bytes_max = edits_.rendered_bytes_max();
  char* begin = reserve(producer, bytes_max + 1);
  char* end = edits_.render(begin);
  WEIR_CHECK(size_t(end - begin) + EditList::kSlack <= bytes_max);
  *end++ = '\n';
  count_line(stream, size_t(end - begin));
}

/// Beside the block: what is to be redacted must not stand in the journal's memory even for a moment.
void Pipeline::render_redacted(Producer& producer, const RecordView& record, Redactor& redactor) {
  std::string_view line = record.line;
  if (!edits_.empty()) {
    size_t bytes_max = edits_.rendered_bytes_max();
    if (rendered_.size() < bytes_max) rendered_.resize(bytes_max);
    char* end = edits_.render(rendered_.data());
    WEIR_CHECK(size_t(end - rendered_.data()) + EditList::kSlack <= bytes_max);
    line = {rendered_.data(), size_t(end - rendered_.data())};
  }
  if (redactor.rewrite(line, edits_.made_spans(), redacted_)) line = redacted_;
  add_line(producer, record.fields.stream, line);
  for (std::string* buffer : {&rendered_, &redacted_})
    if (buffer->capacity() > kRedactBytesKept) *buffer = {};
}

void Pipeline::add_line(Producer& producer, Stream stream, std::string_view line) {
  char* begin = reserve(producer, line.size() + 1);
  std::memcpy(begin, line.data(), line.size());
  begin[line.size()] = '\n';
  count_line(stream, line.size() + 1);
}

void Pipeline::count_line(Stream stream, size_t bytes) {
  block_->add_line(bytes, stream);
  ++open_.entry_count;
  ++open_.totals.records[size_t(stream)];
  open_.totals.bytes[size_t(stream)] += bytes;
}

/// What the agent adds behind all sent fields (records.md section 2). A producer cannot forge them: one it
/// sent is replaced.
void Pipeline::add_agent_fields(Producer& producer, const RecordView& record, bool lacks_time) {
  const FieldTable& f = record.fields;
  auto add = [&](Field field, auto&& write) {
    if (f.sent(field))
      edits_.replace(f[field].value);
    else
      edits_.append(field_name(field));
    write();
    edits_.end();
  };
  auto time = [&] { edits_.made({turn_time_, sizeof turn_time_}); };
  if (lacks_time) add(Field::ts, time);
  if (!producer.stamp) return;
  char text[64];  // two numbers, and what stands around them
  char* end = text;
  const auto put = [&](std::string_view more) { end = std::copy(more.begin(), more.end(), end); };
  const auto put_number = [&](auto number) { end = std::to_chars(end, std::end(text), number).ptr; };
  const auto made = [&] { edits_.made({text, size_t(std::exchange(end, text) - text)}); };
  add(Field::_peer, [&] {
    const Peer& peer = producer.peer;
    put("{\"uid\":");
    peer.uid ? put_number(*peer.uid) : put("null");
    put(",\"pid\":");
    peer.uid ? put_number(peer.pid) : put("null");
    put("}");
    made();
  });
  add(Field::_received, time);
  add(Field::_id, [&] {
    put("\"");
    put_number(journal_.end() + pending_records() + 1);
    put("\"");
    made();
  });
}

/// Room for one line in the block. A full block closes what the turn has so far: its part of the turn is a
/// transaction of its own.
char* Pipeline::reserve(Producer& producer, size_t bytes) {
  if (!block_ || block_->space() < bytes) {
    close_transaction(producer, producer.next_seq - 2);  // the record in hand goes into the next one
    block_ = journal_.new_block(bytes);
    WEIR_CHECK(block_->space() >= bytes);
  }
  if (open_.entry_count == 0) {
    open_.block = block_;
    open_.first_entry = block_->entry_count();
    open_.received_ns = turn_ns_;
  }
  return block_->tail();
}

/// `seq`: the highest number disposed of with it, so that a journal which ends behind this transaction knows
/// what is missing.
void Pipeline::close_transaction(Producer& producer, uint64_t seq) {
  const bool told = !producer.client || seq <= producer.client->last_seq;
  if (open_.entry_count == 0 && told) return;
  open_.level = producer.level;
  if (!told) open_.client = {producer.client->identity, seq};
  pending_.push_back({std::move(open_), producer.stats, told ? nullptr : producer.client});
  open_ = {};
}

Intake Pipeline::on_turn_end(Producer& producer) {
  close_transaction(producer, producer.next_seq - 1);
  if (turn_ns_ != 0) quarantine_.flush();
  turn_ns_ = 0;
  return append_pending();
}

Intake Pipeline::retry_pending() { return append_pending(); }

Intake Pipeline::append_pending() {
  if (pending_.empty()) return Intake::taken;
  AppendResult result = AppendResult::taken;
  uint64_t taken = 0;
  const int64_t received_ns = pending_.front().transaction.received_ns;
  auto next = pending_.begin();
  for (; next != pending_.end(); ++next) {
    Pending& p = *next;
    uint64_t records = p.transaction.entry_count;
    const uint64_t seq = p.transaction.client.seq;
    result = journal_.append(p.transaction);
    if (result != AppendResult::taken) break;
    taken += records;
    p.stats->received += records, p.stats->accepted += records, p.stats->journalled += records;
    if (p.client && seq > p.client->last_seq) p.client->last_seq = seq, p.client->mark = journal_.mark();
  }
  if (taken > 0) journalled_.add(clock_.wall_ns() - received_ns, taken);
  pending_.erase(pending_.begin(), next);
  if (result == AppendResult::failed) give_back();
  if (pending_.empty()) return Intake::taken;
  return result == AppendResult::failed ? Intake::refused : Intake::pause;
}

/// Clients that listen send it again; for the others it waits here.
void Pipeline::give_back() {
  WEIR_CHECK(open_.entry_count == 0);
  const auto gone = [](const Pending& p) { return p.client && p.transaction.level != AckLevel::none; };
  if (std::erase_if(pending_, gone) == 0) return;
  block_.reset();  // it has lines now that belong to no transaction
}

uint64_t Pipeline::pending_records() const {
  uint64_t records = open_.entry_count;
  for (const Pending& p : pending_) records += p.transaction.entry_count;
  return records;
}

Result<Welcome> Pipeline::on_hello(Producer& producer, Hello hello) {
  if (hello.client_id.empty()) {
    uint64_t word;
    WEIR_CHECK(getrandom(&word, sizeof word, 0) == ssize_t(sizeof word));
    char text[32];
    std::snprintf(text, sizeof text, "anon-%016llx", static_cast<unsigned long long>(word));
    hello.client_id = text;
  }
  on_close(producer);
  auto client = clients_.see(hello.client_id, producer.peer);
  if (client->identity->uid != producer.peer.uid) {
    log::sampled(log::Level::warn, "not_yours", "{}: client_id in use by another uid", producer.peer.address);
    return fail("not_yours");
  }
  client->pid = producer.peer.pid;  // who takes over
  if (client->owner && client->taken_over) client->taken_over();
  client->owner = &producer;
  client->taken_over = std::move(hello.taken_over);
  producer.level = std::min(hello.level, level_max());
  const Welcome welcome{client->last_seq, producer.level};
  producer.client = std::move(client);
  hasten(producer);
  on_jump(producer, hello.next_seq.value_or(welcome.last_seq + 1));
  return welcome;
}

/// What the client sent at a lower level, or to an agent before this one, is not safe enough for it yet, and
/// nobody else may wait for that: a transaction of nothing but its last number says so.
void Pipeline::hasten(Producer& producer) {
  ClientState& client = *producer.client;
  if (client.last_seq == 0 || has_reached(client.mark, producer.level)) return;
  Transaction t;
  t.client = {client.identity, client.last_seq};
  t.level = producer.level;
  if (journal_.append(t) == AppendResult::taken) client.mark = journal_.mark();
}

void Pipeline::on_jump(Producer& producer, uint64_t next_seq) {
  ClientState& client = *producer.client;
  producer.next_seq = next_seq;
  if (next_seq <= client.last_seq + 1) return;
  client.gaps += next_seq - client.last_seq - 1;
  client.last_seq = next_seq - 1;
}

void Pipeline::on_close(Producer& producer) {
  if (!producer.client || producer.client->owner != &producer) return;
  producer.client->owner = nullptr;
  producer.client->taken_over = nullptr;
  producer.client->last_seen_ns = clock_.monotonic_ns();
}

}  // namespace weir
