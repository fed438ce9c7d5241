#pragma once
#include <array>
#include <cstdint>

#include "agent/core/record.h"

namespace weir {

/// What a processor has worked out about records of one shape (RecordShape), for as many as may live at once:
/// their numbers follow each other, so none takes the place of another that lives.
template <class T>
class ShapeCache {
 public:
  /// Null when it is not known.
  T* find(const RecordShape& shape) {
    Slot& slot = slots_[shape.id % slots_.size()];
    return slot.id == shape.id ? &slot.value : nullptr;
  }
  /// Its place, whatever was there.
  T& put(const RecordShape& shape) {
    Slot& slot = slots_[shape.id % slots_.size()];
    slot.id = shape.id;
    return slot.value;
  }

 private:
  struct Slot {
    uint32_t id = 0;
    T value{};
  };
  std::array<Slot, RecordShape::kLiveMax> slots_;
};

}  // namespace weir
