// Arithmetic on sizes that come from files or callers. Raw * and + on such sizes are bugs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace acd {

inline std::optional<size_t> checked_mul(size_t a, size_t b) {
  size_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline std::optional<size_t> checked_add(size_t a, size_t b) {
  size_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

// Product of any number of extents, or nullopt.
template <typename... Rest>
std::optional<size_t> checked_product(size_t first, Rest... rest) {
  std::optional<size_t> r = first;
  ((r = r ? checked_mul(*r, static_cast<size_t>(rest)) : r), ...);
  return r;
}

}  // namespace acd
