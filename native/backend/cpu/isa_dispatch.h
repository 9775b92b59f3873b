// Declares one kernel in every level's namespace and picks the level in use. The levels avx512_vnni
// and avx512_bf16 have kernels of their own for int8 (*_vnni_isa.cc) and bf16 (*_bf16_isa.cc)
// alone; everything else runs as at avx512.
#pragma once

#if defined(__x86_64__)
#define ACD_DECLARE_ISA(signature) \
  namespace baseline {             \
  signature;                       \
  }                                \
  namespace avx2 {                 \
  signature;                       \
  }                                \
  namespace avx512 {               \
  signature;                       \
  }
#define ACD_PICK_ISA(fn)                                    \
  (::acd::current_isa() >= ::acd::Isa::kAvx512 ? avx512::fn \
   : ::acd::current_isa() == ::acd::Isa::kAvx2 ? avx2::fn   \
                                               : baseline::fn)
#else
#define ACD_DECLARE_ISA(signature) \
  namespace baseline {             \
  signature;                       \
  }
#define ACD_PICK_ISA(fn) (baseline::fn)
#endif

#define ACD_DECLARE_VNNI(signature) \
  namespace avx512_vnni {           \
  signature;                        \
  }

#define ACD_DECLARE_BF16(signature) \
  namespace avx512_bf16 {           \
  signature;                        \
  }
