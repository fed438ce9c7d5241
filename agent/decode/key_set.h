#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/record.h"

namespace weir::decode {

/// The keys of one open object: keys [first, KeySet::size()) of the stack, and a filter that says of most new
/// keys that they are new.
struct KeyScope {
  uint32_t first = 0;
  uint32_t large = 0;  ///< which large filter, 0: none yet
  uint64_t filter[4] = {};
};

/// Finds keys that come twice in one object. One stack for all open objects of a record; keeps its capacity.
/// The hash has a random seed, so nobody can prepare keys that share one.
class KeySet {
 public:
  KeySet();
  void reset(const char* base) { base_ = base, used_ = 0, large_used_ = 0; }
  KeyScope open() const { return {used_, 0, {}}; }
  void close(const KeyScope& scope) {
    used_ = scope.first;
    if (scope.large != 0) large_used_ = scope.large - 1;
  }
  uint32_t count(const KeyScope& scope) const { return used_ - scope.first; }

  /// Of decoded bytes; `head` and `tail` are the first 16 of them, zeros behind the end.
  uint32_t hash(const char* key, size_t size, uint64_t head, uint64_t tail) const {
    const uint64_t h = fold(head ^ seed_[0], tail ^ seed_[1] ^ size);
    return size <= 16 ? uint32_t(h) : hash_rest(key + 16, size - 16, h);
  }
  /// False when the innermost open object has the key. `key`: as written, with quotes.
  bool add(KeyScope& scope, uint32_t hash, Span key) {
    if (used_ - scope.first >= kSmallMax) [[unlikely]]
      return add_large(scope, hash, key);
    uint64_t& word = scope.filter[hash & 3];
    const uint64_t bit = uint64_t(1) << (hash >> 2 & 63);
    if ((word & bit) != 0 && contains(scope.first, hash, key)) [[unlikely]]
      return false;
    word |= bit;
    push(hash, key);
    return true;
  }

 private:
  static constexpr uint32_t kSmallMax = 64;     // where 256 bits of filter begin to fill up
  static constexpr uint32_t kLargeWords = 256;  // 16384 bits for at most 1024 keys
  using LargeFilter = std::array<uint64_t, kLargeWords>;

  static uint64_t fold(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return uint64_t(product) ^ uint64_t(product >> 64);
  }
  uint32_t hash_rest(const char* key, size_t size, uint64_t h) const;
  bool contains(uint32_t first, uint32_t hash, Span key) const;
  bool add_large(KeyScope& scope, uint32_t hash, Span key);
  void push(uint32_t hash, Span key) {
    if (used_ + kSlack > hashes_.size()) [[unlikely]]
      grow();
    hashes_[used_] = hash;
    keys_[used_] = key;
    ++used_;
  }
  void grow();

  static constexpr uint32_t kSlack = 8;  // contains() reads whole blocks
  const char* base_ = nullptr;
  uint32_t used_ = 0;
  uint32_t large_used_ = 0;
  uint64_t seed_[2];
  std::vector<uint32_t> hashes_;
  std::vector<Span> keys_;
  std::vector<std::unique_ptr<LargeFilter>> large_;
};

}  // namespace weir::decode
