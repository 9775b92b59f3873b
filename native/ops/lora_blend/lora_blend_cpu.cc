#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/lora_blend/lora_blend_isa.h"

namespace acd {

void lora_blend_cpu(CpuContext& cpu, const LoraBlendParams& p) {
  const auto kernel = ACD_PICK_ISA(lora_blend_rows);
  const auto floats = static_cast<size_t>(ACD_PICK_ISA(lora_blend_scratch)(p));
  LoraBlendParams item = p;
  for (int64_t i = 0; i < p.batch; ++i, item.x += p.batch_x, item.y += p.batch_y) {
    cpu.run_rows(p.rows, p.width * 4, [&](int64_t begin, int64_t end) {
      kernel(item, begin, end, reinterpret_cast<float*>(cpu.scratch(floats * sizeof(float))));
    });
  }
}

}  // namespace acd
