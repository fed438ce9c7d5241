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
/// record.
class Runner {
 public:
  explicit Runner(Processor& processor) : processor_(processor) {}

  std::string_view run(std::string_view record) {
    in_.assign(record);
    in_.append(64, ' ');
    const std::string_view line(in_.data(), record.size());
    const Fault fault = decoder_.decode(line, Stream::trace, fields_);
    INFO("record: ", std::string(record), " fault: ", std::string(reason_name(fault.reason)));
    REQUIRE(!fault);
    edits_.reset(line, fields_.member_count);
    REQUIRE(processor_.process({line, fields_}, edits_).kept());
    edited_ = !edits_.empty();
    if (out_.size() < edits_.rendered_bytes_max()) out_.resize(edits_.rendered_bytes_max());
    return {out_.data(), size_t(edits_.render(out_.data()) - out_.data())};
  }
  bool edited() const { return edited_; }  ///< did the last record get any edit?

 private:
  Processor& processor_;
  Decoder decoder_;
  FieldTable fields_;
  EditList edits_;
  std::string in_, out_;
  bool edited_ = false;
};

/// Calls of operator new on this thread so far (allocation_count_test.cpp).
uint64_t allocations();

}  // namespace weir::test
