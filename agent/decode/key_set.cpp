#include "agent/decode/key_set.h"

#include <emmintrin.h>

#include <cstring>
#include <random>

#include "agent/core/json.h"

namespace weir::decode {

KeySet::KeySet() {
  std::random_device random;
  for (uint64_t& word : seed_) word = uint64_t(random()) << 32 | random();
  grow();
}

void KeySet::grow() {
  const size_t size = hashes_.empty() ? 256 : hashes_.size() * 2;
  hashes_.resize(size);
  keys_.resize(size);
  limit_ = uint32_t(size) - kSlack;
}

uint32_t KeySet::hash_rest(const char* key, size_t size, uint64_t h) const {
  while (size > 0) {
    char block[16] = {};
    const size_t take = size < 16 ? size : 16;
    std::memcpy(block, key, take);
    uint64_t words[2];
    std::memcpy(words, block, 16);
    h = fold(words[0] ^ seed_[0] ^ h, words[1] ^ seed_[1]);
    key += take;
    size -= take;
  }
  return uint32_t(h);
}

bool KeySet::contains(uint32_t first, uint32_t hash, Span key) const {
  const __m128i wanted = _mm_set1_epi32(int(hash));
  for (uint32_t i = first; i < used_; i += 4) {
    const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(hashes_.data() + i));
    auto hits = uint32_t(_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(four, wanted))));
    for (; hits != 0; hits &= hits - 1) {
      const uint32_t at = i + uint32_t(__builtin_ctz(hits));
      if (at >= used_) break;
      if (json::same_string({base_ + keys_[at].begin, keys_[at].size()}, {base_ + key.begin, key.size()}))
        return true;
    }
  }
  return false;
}

bool KeySet::add_large(KeyScope& scope, uint32_t hash, Span key) {
  if (scope.large == 0) {
    if (large_used_ == large_.size()) large_.push_back(std::make_unique<LargeFilter>());
    scope.large = ++large_used_;
    LargeFilter& fresh = *large_[scope.large - 1];
    fresh.fill(0);
    for (uint32_t i = scope.first; i < used_; ++i) {
      fresh[hashes_[i] % kLargeWords] |= uint64_t(1) << (hashes_[i] / kLargeWords & 63);
    }
  }
  uint64_t& word = (*large_[scope.large - 1])[hash % kLargeWords];
  const uint64_t bit = uint64_t(1) << (hash / kLargeWords & 63);
  if ((word & bit) != 0 && contains(scope.first, hash, key)) return false;
  word |= bit;
  push(hash, key);
  return true;
}

}  // namespace weir::decode
