// Counter-based random numbers: the n-th draw of a stream is a hash of (key, n), so streams forked
// by name never disturb one another and every machine draws the same.
#pragma once

#include <cstdint>

namespace acd::datagen {

inline uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class Rng {
 public:
  explicit Rng(uint64_t key) : key_(mix_bits(key + 0x632be59bd9b4e019ull)) {}

  Rng fork(uint64_t tag) const { return Rng(key_ ^ mix_bits(tag + 0x9e3779b97f4a7c15ull)); }

  uint64_t next() { return mix_bits(key_ + ++counter_ * 0x9e3779b97f4a7c15ull); }
  // In [0, 1), a multiple of 2^-24: exact in float.
  float uniform() { return static_cast<float>(next() >> 40) * (1.0f / 16777216.0f); }
  float range(float low, float high) { return low + (high - low) * uniform(); }
  float sign() { return next() >> 63 ? 1.0f : -1.0f; }
  bool chance(float p) { return uniform() < p; }
  int below(int n) { return static_cast<int>(((next() >> 32) * static_cast<uint64_t>(n)) >> 32); }

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace acd::datagen
