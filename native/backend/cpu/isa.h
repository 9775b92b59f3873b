// Which instruction-set level the kernels run at. Detected once; ACD_CLIP_ISA forces a lower one,
// which makes every level testable on one machine.
#pragma once

#include <string>

#include "core/status.h"

namespace acd {

enum class Isa { kBaseline, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16 };

const char* isa_name(Isa isa);
Isa detected_isa();
Isa current_isa();
bool isa_forced();

// Whether products of bf16 numbers run at this level, and why (not): a sentence without a stop.
bool has_bf16();
std::string bf16_reason();
// Whether oneDNN makes them: where it uses AMX, unless ACD_CLIP_BF16 (own | onednn) says otherwise.
bool bf16_by_onednn();
// The same for products of 8-bit numbers.
bool has_int8();
std::string int8_reason();

// Reads ACD_CLIP_ISA (baseline | avx2 | avx512 | avx512_vnni | avx512_bf16) on first use and tells
// oneDNN, which must hear it before its first primitive, and ACD_CLIP_BF16. An unknown value, or a
// level that this machine lacks, is an error.
Status select_isa_from_environment();

}  // namespace acd
