#include "tests/fuzz/decoder_oracle.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/process/context_diff.h"
#include "agent/process/signature.h"
#include "tests/support/json_oracle.h"

namespace weir::test {
namespace {

constexpr size_t kSlack = 64;
constexpr size_t kRecordBytesMax = GuardedText::kBytesMax / 4;  // what leaves may be longer

std::string said(const Fault& fault) {
  if (!fault) return "ok";
  return std::string(reason_name(fault.reason)) + "@" + std::to_string(fault.offset) + " (" +
         std::string(fault.detail) + ")";
}

bool same(const Fault& a, const Fault& b) {
  return a.reason == b.reason && a.offset == b.offset && a.detail == b.detail;
}

bool same(const Member& a, const Member& b) {
  return a.key == b.key && a.value == b.value && a.type == b.type && a.key_escaped == b.key_escaped;
}

/// The name of what differs, or nothing.
std::string difference(const FieldTable& a, const FieldTable& b) {
  if (a.stream != b.stream) return "stream";
  if (a.member_count != b.member_count) return "member_count";
  for (size_t i = 0; i < kFieldCount; ++i) {
    const auto f = Field(i);
    const std::string name(field_name(f));
    if (a.sent(f) != b.sent(f) || a.has(f) != b.has(f)) return name;
    if (!a.sent(f)) continue;
    if (!same(a[f], b[f]) || a[f].ordinal != b[f].ordinal) return name;
    const auto of_a = a.members_of(f), of_b = b.members_of(f);
    if (!std::equal(of_a.begin(), of_a.end(), of_b.begin(), of_b.end(),
                    [](const Member& x, const Member& y) { return same(x, y); }))
      return name + "'s members";
  }
  return {};
}

/// A record's own members but for those that the chains may write or take away, as they are.
std::vector<std::pair<std::string_view, std::string_view>> untouched(std::string_view line) {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  const size_t begin = line.find('{');
  for (json::Members m(line.data(), {uint32_t(begin), uint32_t(line.size())}); m.next();) {
    const std::string_view key = m.member().key.of(line);
    bool written = false;
    for (const Field f : {Field::ctx, Field::ctx_set, Field::ctx_unset, Field::ctx_before, Field::ctx_after,
                          Field::ctx_diff, Field::ctx_reset, Field::msg_in, Field::msg_out})
      written |= json::string_is(key, field_name(f));
    if (!written) out.emplace_back(key, m.member().value.of(line));
  }
  return out;
}

}  // namespace

GuardedText::GuardedText() {
  const auto page = size_t(sysconf(_SC_PAGESIZE));
  used_ = (kBytesMax + kSlack + page - 1) / page * page;
  void* const map = mmap(nullptr, used_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WEIR_CHECK(map != MAP_FAILED);
  map_ = static_cast<char*>(map);
  WEIR_CHECK(mprotect(map_ + used_, page, PROT_NONE) == 0);
}

GuardedText::~GuardedText() { munmap(map_, used_ + size_t(sysconf(_SC_PAGESIZE))); }

std::string_view GuardedText::place(std::string_view text, std::string_view behind) {
  WEIR_CHECK(text.size() <= kBytesMax);
  char* const slack = map_ + used_ - kSlack;
  char* const begin = slack - text.size();
  if (!text.empty()) std::memcpy(begin, text.data(), text.size());
  for (size_t i = 0; i < kSlack; ++i) slack[i] = behind.empty() ? '\0' : behind[i % behind.size()];
  return {begin, text.size()};
}

Chain::Chain(Kind kind, const Clock& clock) {
  SignatureOptions signature;
  ContextDiffOptions diff;
  switch (kind) {
    case whitelist:
      diff.mode = ContextDiffMode::whitelist;
      diff.whitelist = {"order_id", "a", "a.b", "d.y", "note", "retries"};
      break;
    case cut:  // long strings, and a memory that soon forgets
      signature.mode = SignatureMode::type_and_identity;
      diff.max_value_len = 5;
      diff.max_traces = 2;
      diff.idle_ns = 10'000'000'000;
      break;
    default:
      signature.mode = SignatureMode::hash;
      diff.snapshots = false;
  }
  processors_.push_back(make_signature(signature));
  processors_.push_back(make_context_diff(diff, make_context_memory(), clock));
}

std::string_view Chain::run(const RecordView& record) {
  edits_.reset(record.line, record.fields.member_count);
  for (auto& processor : processors_) WEIR_CHECK(processor->process(record, edits_).kept());
  if (out_.size() < edits_.rendered_bytes_max()) out_.resize(edits_.rendered_bytes_max());
  const char* const end = edits_.render(out_.data());
  return {out_.data(), size_t(end - out_.data())};
}

DecoderOracle::Counts& DecoderOracle::Counts::operator+=(const Counts& more) {
  records += more.records, accepted += more.accepted, known += more.known;
  return *this;
}

DecoderOracle::DecoderOracle() {
  const auto make = [&] {
    auto side = std::make_unique<Side>();
    for (int kind = 0; kind < Chain::kinds; ++kind) side->chains.emplace_back(Chain::Kind(kind), clock_);
    return side;
  };
  reference_ = make();
  for (size_t i = 0; i < decode::parse_records().size(); ++i) experienced_.push_back(make());
}

std::string DecoderOracle::check(std::string_view record) {
  if (record.size() > kRecordBytesMax) return {};
  const auto parsers = decode::parse_records();
  const size_t number = counts_.records++;
  clock_.advance_ns(1'000'000'000);
  const std::string_view behinds[] = {"",     ",\"stream\":\"x\",[{", "}]\"}", "1e5.0",
                                      "\"\\", "\xE2\x82\xAC",         record};
  const std::optional<Stream> default_stream =
      record.size() % 8 == 7 ? std::nullopt : std::optional(Stream::trace);

  const std::string_view line = text_.place(record, behinds[number % std::size(behinds)]);
  const Fault wanted = parsers[number % parsers.size()](line, default_stream, reference_->table, unknowing());
  if (std::string wrong = judge_by_others(record, wanted); !wrong.empty()) return wrong;
  std::string outputs[Chain::kinds];
  if (!wanted) {
    ++counts_.accepted;
    for (int kind = 0; kind < Chain::kinds; ++kind) {
      outputs[kind] = reference_->chains[size_t(kind)].run({line, reference_->table});
      if (std::string wrong = check_output(record, outputs[kind]); !wrong.empty())
        return wrong + " in output " + std::to_string(kind) + ": " + outputs[kind];
    }
  }
  bool known = true;
  for (size_t i = 0; i < parsers.size(); ++i) {
    Side& side = *experienced_[i];
    const std::string_view again = other_text_.place(record, behinds[(number + i + 1) % std::size(behinds)]);
    const Fault fault = parsers[i](again, default_stream, side.table, side.work);
    const std::string who = "instruction set " + std::to_string(i);
    if (!same(fault, wanted)) return who + " says " + said(fault) + " instead of " + said(wanted);
    if (fault) continue;
    known &= side.table.shape() != nullptr;
    // The chains first: they see the table as the agent's do, filled in where they look.
    for (int kind = 0; kind < Chain::kinds; ++kind) {
      const std::string_view output = side.chains[size_t(kind)].run({again, side.table});
      if (output != outputs[kind])
        return who + " leaves " + std::string(output) + "\ninstead of " + outputs[kind];
    }
    if (std::string what = difference(side.table, reference_->table); !what.empty())
      return who + " differs in " + what;
  }
  counts_.known += !wanted && known;
  return {};
}

decode::Workspace& DecoderOracle::unknowing() {
  decode::Workspace& work = reference_->work;
  std::destroy_at(&work.shapes);
  std::construct_at(&work.shapes);
  return work;
}

/// All faults that others know of are judged by them, in both directions.
std::string DecoderOracle::judge_by_others(std::string_view record, const Fault& fault) {
  if (fault.offset > record.size()) return said(fault) + " lies behind the record";
  JsonFacts facts;
  const std::optional<bool> by_nlohmann = accepted_by_nlohmann(record, facts);
  const std::optional<bool> by_simdjson = accepted_by_simdjson(record, simdjson_);
  const bool malformed = fault.reason == Reason::bad_json || fault.reason == Reason::bad_utf8;
  if (!fault && by_nlohmann == false) return "accepted, but not by nlohmann";
  if (!fault && by_simdjson == false) return "accepted, but not by simdjson";
  if (malformed && by_nlohmann == true) return said(fault) + ", but accepted by nlohmann";
  if (malformed && by_simdjson == true) return said(fault) + ", but accepted by simdjson";
  if (by_nlohmann != true) return {};
  const bool too_deep = facts.depth_max > kDepthMax, too_many = facts.keys_max > kObjectKeysMax;
  const auto is_wrong = [&](Reason reason, bool there) {
    return (fault.reason == reason && !there) || (!fault && there);
  };
  if (is_wrong(Reason::not_an_object, !facts.object) || is_wrong(Reason::duplicate_key, facts.duplicates) ||
      is_wrong(Reason::too_deep, too_deep) || is_wrong(Reason::too_many_keys, too_many))
    return said(fault) + ", but nlohmann counts " + std::to_string(facts.depth_max) + " levels, " +
           std::to_string(facts.keys_max) + " keys, duplicates: " + (facts.duplicates ? "yes" : "no");
  return {};
}

std::string DecoderOracle::check_output(std::string_view record, std::string_view output) {
  if (output == record) return {};
  if (accepted_by_nlohmann(output) == false) return "not accepted by nlohmann";
  if (accepted_by_simdjson(output, simdjson_) == false) return "not accepted by simdjson";
  FieldTable table;
  const Fault fault =
      decode::parse_records().front()(other_text_.place(output, ""), Stream::trace, table, unknowing());
  // ctx_diff is one more member, its values lie one level deeper, and it may have the keys of both contexts.
  if (fault && fault.reason != Reason::too_deep && fault.reason != Reason::too_many_keys) return said(fault);
  for (const Field f : {Field::ctx, Field::ctx_set, Field::ctx_unset})
    if (!fault && table.sent(f)) return "a field of the light form left";
  if (untouched(record) != untouched(output)) return "another field changed";
  return {};
}

}  // namespace weir::test
