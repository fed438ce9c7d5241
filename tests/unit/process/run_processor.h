#pragma once
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "agent/core/edit_list.h"
#include "agent/core/stream.h"
#include "agent/decode/decoder.h"
#include "agent/process/processor.h"

namespace weir::test {

/// Decodes a record, lets one processor edit it and renders the result. Buffers are kept from record to
/// record. A record that leaves no trace in a processor is given to it twice, once as the first of its shape
/// and once as one of many: both have to come out alike.
class Runner {
 public:
  explicit Runner(Processor& processor) : processor_(processor) {}

  std::string_view run(std::string_view record) {
    in_.assign(record);
    in_.append(64, ' ');
    const std::string_view line(in_.data(), record.size());
    if (once_) {
      decode(decoder_, record, line);
      return process(line);
    }
    Decoder fresh;
    decode(fresh, record, line);
    bool leaves_trace = false;
    for (const Field f : {Field::ctx, Field::ctx_set, Field::ctx_unset}) leaves_trace |= fields_.sent(f);
    std::string first;
    if (!leaves_trace) first = process(line);
    decode(decoder_, record, line);
    decode(decoder_, record, line);
    const std::string_view out = process(line);
    if (!leaves_trace) REQUIRE(out == first);
    return out;
  }
  /// From here on each record is decoded and processed just once, as in the agent.
  void once() { once_ = true; }
  bool edited() const { return edited_; }  ///< did the last record get any edit?

 private:
  void decode(Decoder& decoder, std::string_view record, std::string_view line) {
    const Fault fault = decoder.decode(line, Stream::trace, fields_);
    INFO("record: ", std::string(record), " fault: ", std::string(reason_name(fault.reason)));
    REQUIRE(!fault);
  }
  std::string_view process(std::string_view line) {
    edits_.reset(line, fields_.member_count);
    REQUIRE(processor_.process({line, fields_}, edits_).kept());
    edited_ = !edits_.empty();
    if (out_.size() < edits_.rendered_bytes_max()) out_.resize(edits_.rendered_bytes_max());
    return {out_.data(), size_t(edits_.render(out_.data()) - out_.data())};
  }

  Processor& processor_;
  Decoder decoder_;
  FieldTable fields_;
  EditList edits_;
  std::string in_, out_;
  bool edited_ = false, once_ = false;
};

/// Calls of operator new on this thread so far (allocation_count_test.cpp).
uint64_t allocations();

}  // namespace weir::test
