// How numbers lie in memory, where an op offers a choice.
#pragma once

#include <cstddef>

namespace acd {

enum class NumberType { kF32, kBf16 };

constexpr size_t bytes_of(NumberType type) { return type == NumberType::kF32 ? 4 : 2; }

}  // namespace acd
