#pragma once
#include <emmintrin.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/record.h"

namespace weir::decode {

/// A key without its quotes and escapes. head and tail: its first 16 bytes, zeros behind its end.
struct Key {
  uint64_t head, tail;
  uint32_t size;
  const char* bytes;
};

/// 16 bytes are readable wherever a key begins: text, slack behind it or padding.
[[gnu::always_inline]] inline Key make_key(const char* bytes, size_t size) {
  alignas(16) static constexpr uint8_t kMask[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                    255, 255, 255, 255, 255, 255, 255, 255};
  const size_t kept = size < 16 ? size : 16;
  const __m128i mask = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kMask + 16 - kept));
  const __m128i word = _mm_and_si128(mask, _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  return {uint64_t(_mm_cvtsi128_si64(word)), uint64_t(_mm_cvtsi128_si64(_mm_unpackhi_epi64(word, word))),
          uint32_t(size), bytes};
}

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

  uint32_t hash(const Key& key) const {
    const uint64_t h = fold(key.head ^ seed_[0], key.tail ^ seed_[1] ^ key.size);
    return key.size <= 16 ? uint32_t(h) : hash_rest(key.bytes + 16, key.size - 16, h);
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
    if (used_ == limit_) [[unlikely]]
      grow();
    hashes_.data()[used_] = hash;
    keys_.data()[used_] = key;
    ++used_;
  }
  void grow();

  static constexpr uint32_t kSlack = 8;  // contains() reads whole blocks
  const char* base_ = nullptr;
  uint32_t used_ = 0;
  uint32_t limit_ = 0;  // invariant: kSlack entries behind it exist
  uint32_t large_used_ = 0;
  uint64_t seed_[2];
  std::vector<uint32_t> hashes_;
  std::vector<Span> keys_;
  std::vector<std::unique_ptr<LargeFilter>> large_;
};

}  // namespace weir::decode
