#pragma once
#include "tests/unit/decode/decode_fixture.h"

namespace weir {

/// One decoder that has met shapes beside one that meets each text as its first.
class ShapePair {
 public:
  explicit ShapePair(decode::ParseRecord parse) : parse_(parse) {}
  /// Returns whether the text was known by its shape.
  bool judge(std::string_view text, std::string_view behind = "",
             std::optional<Stream> default_stream = Stream::log) {
    const Payload payload(text, behind);
    // Without experience again; a whole new workspace would ask for random numbers.
    std::destroy_at(&fresh_.shapes);
    std::construct_at(&fresh_.shapes);
    FieldTable expected;
    const Fault wanted = parse_(payload.text(), default_stream, expected, fresh_);
    fault_ = parse_(payload.text(), default_stream, table_, work_);
    check_same(text, fault_, table_, wanted, expected);
    return !fault_ && table_.shape() != nullptr;
  }
  const Fault& fault() const { return fault_; }  ///< of the last text
  const decode::Shapes& shapes() const { return work_.shapes; }

 private:
  decode::ParseRecord parse_;
  decode::Workspace work_, fresh_;
  FieldTable table_;
  Fault fault_;
};

/// For every instruction set that this machine has.
template <class Body>
void with_each(Body body) {
  for (const auto parse : decode::parse_records()) {
    ShapePair pair(parse);
    body(pair);
  }
}

}  // namespace weir
