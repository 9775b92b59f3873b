#include "backend/cpu/isa.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

namespace acd {
namespace {

struct Selection {
  Isa isa;
  bool forced = false;
  Status status;
  bool bf16_by_onednn = false;
};

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    if (!__builtin_cpu_supports("avx512vnni")) return Isa::kAvx512;
    // Every processor with AVX512-BF16 has VNNI; one with AMX-BF16 has both, and oneDNN uses all.
    return __builtin_cpu_supports("avx512bf16") ? Isa::kAvx512Bf16 : Isa::kAvx512Vnni;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

Selection select_level() {
  Selection s{detected_isa(), false, Status(), false};
  const char* wish = std::getenv("ACD_CLIP_ISA");
  if (!wish || !*wish) return s;
  for (Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAvx512Bf16}) {
    if (std::strcmp(wish, isa_name(isa)) != 0) continue;
    if (isa > s.isa) {
      s.status = Status(Code::kUnsupported, std::string("ACD_CLIP_ISA asks for ") + wish +
                                                " but this processor has " + isa_name(s.isa));
      return s;
    }
    s.isa = isa;
    s.forced = true;
#if defined(__x86_64__)
    if (isa == Isa::kBaseline) dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41);
    if (isa == Isa::kAvx2) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
    if (isa == Isa::kAvx512) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core);
    if (isa == Isa::kAvx512Vnni) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_vnni);
    if (isa == Isa::kAvx512Bf16) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
#endif
    return s;
  }
  s.status = Status(
      Code::kInvalidArg,
      std::string("Expected baseline, avx2, avx512, avx512_vnni or avx512_bf16 for ACD_CLIP_ISA "
                  "but received ") +
          wish);
  return s;
}

// Whether its products in bf16 run on AMX. Every set of instructions has the bits of those below
// it.
bool onednn_has_amx() {
  constexpr auto kAmx = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_amx);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kAmx) == kAmx;
}

Selection select() {
  Selection s = select_level();
  if (!s.status.ok()) return s;
  const char* wish = std::getenv("ACD_CLIP_BF16");
  if (!wish || !*wish) {
    s.bf16_by_onednn = s.isa == Isa::kAvx512Bf16 && onednn_has_amx();
  } else if (std::strcmp(wish, "onednn") == 0) {
    s.bf16_by_onednn = true;
  } else if (std::strcmp(wish, "own") != 0) {
    s.status = Status(Code::kInvalidArg,
                      std::string("Expected own or onednn for ACD_CLIP_BF16 but received ") + wish);
  }
  return s;
}

const Selection& selection() {
  static const Selection s = select();
  return s;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAvx512Vnni:
      return "avx512_vnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

Isa detected_isa() {
  static const Isa isa = detect();
  return isa;
}

Isa current_isa() { return selection().isa; }
bool isa_forced() { return selection().forced; }

bool has_bf16() { return current_isa() == Isa::kAvx512Bf16; }

bool bf16_by_onednn() { return selection().bf16_by_onednn; }

std::string bf16_reason() {
  if (has_bf16() && bf16_by_onednn()) return "the processor multiplies bf16 (by oneDNN)";
  if (has_bf16()) return "the processor multiplies bf16 (AVX512-BF16)";
  if (detected_isa() == Isa::kAvx512Bf16)
    return std::string("ACD_CLIP_ISA=") + isa_name(current_isa()) + " does without AVX512-BF16";
  return std::string("the processor has ") + isa_name(detected_isa()) +
         " but no AVX512-BF16; emulated it would be slower than fp32";
}

bool has_int8() { return current_isa() >= Isa::kAvx512Vnni; }

std::string int8_reason() {
  if (has_int8()) return "the processor multiplies 8-bit numbers (AVX512-VNNI)";
  if (detected_isa() >= Isa::kAvx512Vnni)
    return std::string("ACD_CLIP_ISA=") + isa_name(current_isa()) + " does without AVX512-VNNI";
  return std::string("the processor has ") + isa_name(detected_isa()) + " but no AVX512-VNNI";
}

Status select_isa_from_environment() { return selection().status; }

}  // namespace acd
