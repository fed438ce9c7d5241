#pragma once
#include <cstdint>
#include <vector>

#include "agent/core/record.h"

namespace weir {

/// What a processor has worked out about records of one shape (RecordShape), for the shapes met lately.
/// Those that the decoder knows do not push each other out; a new one takes the place of one that is
/// forgotten.
template <class T>
class ShapeCache {
 public:
  /// Null when it is not known.
  T* find(const RecordShape& shape) {
    Slot& slot = slots_[shape.id % RecordShape::kKnownMax];
    return slot.id == shape.id ? &slot.value : nullptr;
  }
  /// Its place, whatever was there.
  T& put(const RecordShape& shape) {
    Slot& slot = slots_[shape.id % RecordShape::kKnownMax];
    slot.id = shape.id;
    return slot.value;
  }

 private:
  struct Slot {
    uint64_t id = 0;
    T value{};
  };
  std::vector<Slot> slots_ = std::vector<Slot>(RecordShape::kKnownMax);
};

}  // namespace weir
