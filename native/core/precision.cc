#include "core/precision.h"

namespace acd {

bool cuda_checked(int capability) { return capability == 90; }

PrecisionSupport cuda_precision(Precision precision, int capability) {
  switch (precision) {
    case Precision::kFp32:
      return {true, "every device computes in it"};
    case Precision::kBf16:
    case Precision::kFp16:
      return {true, "tensor cores multiply it"};
    case Precision::kInt8:
      return {false, "CUDA multiplies fp8 in its place"};
    case Precision::kFp8:
      if (capability >= 89) return {true, "tensor cores multiply it"};
      return {false, "tensor cores multiply it from sm_89 on (Ada, Hopper); this is sm_" +
                         std::to_string(capability)};
  }
  return {false, ""};
}

}  // namespace acd
