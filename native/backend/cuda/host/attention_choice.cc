#include "backend/cuda/host/attention_choice.h"

#include <cstdio>
#include <cstring>
#include <tuple>
#include <utility>

namespace acd {
namespace {

std::string name_of(const AttentionParams& p) {
  const char* type = p.type == NumberType::kF32    ? "f32"
                     : p.type == NumberType::kBf16 ? "bf16"
                                                   : "f16";
  return std::to_string(p.batch) + "x" + std::to_string(p.tokens) + "x" + std::to_string(p.heads) +
         (p.causal ? "_causal_" : "_") + type;
}

std::string times(float ours, float cudnn) {
  char text[96];
  std::snprintf(text, sizeof text, "ours %.4f ms, cuDNN %.4f ms", ours, cudnn);
  return text;
}

uint64_t word_of(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}

float float_of(uint64_t word) {
  const auto bits = static_cast<uint32_t>(word);
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

// Failures after which the other kernel may still be used.
bool is_refusal(const Status& status) {
  return status.code() == Code::kUnsupported || status.code() == Code::kInternal;
}

}  // namespace

AttentionWish attention_wish(const char* (*environ)(const char*)) {
  const char* asked = environ("ACD_CUDA_ATTENTION");
  if (asked && std::strcmp(asked, "ours") == 0) return AttentionWish::kOurs;
  if (asked && std::strcmp(asked, "cudnn") == 0) return AttentionWish::kCudnn;
  return AttentionWish::kFaster;
}

Result<AttentionKernel> AttentionChoice::choose(const AttentionParams& p, bool may_measure,
                                                const Contest& contest) {
  // Held while a shape is measured, so that two streams do not measure it at once.
  std::lock_guard<std::mutex> lock(mutex_);
  const std::string shape = name_of(p);
  const auto it = chosen_.find(shape);
  if (it != chosen_.end()) return it->second.kernel;
  if (!may_measure) return AttentionKernel::kOurs;
  bool keep = true;
  auto choice = decide(shape, contest, keep);
  if (!choice.ok()) return choice.status();
  const AttentionKernel kernel = choice.value().kernel;
  if (keep) chosen_.emplace(shape, std::move(choice.value()));
  return kernel;
}

Result<AttentionChoice::Choice> AttentionChoice::decide(const std::string& shape,
                                                        const Contest& contest, bool& keep) {
  if (wish_ == AttentionWish::kOurs)
    return Choice{AttentionKernel::kOurs, "asked for by ACD_CUDA_ATTENTION"};
  // Refused: ours for good. Out of memory: ours this time. Anything else is the device's failure.
  const auto failed = [&](const Status& status) -> Result<Choice> {
    keep = is_refusal(status);
    if (!keep && status.code() != Code::kOutOfMemory) return status;
    return Choice{AttentionKernel::kOurs, status.message()};
  };
  const Status prepared = contest.prepare();
  if (!prepared.ok()) return failed(prepared);
  if (wish_ == AttentionWish::kCudnn)
    return Choice{AttentionKernel::kCudnn, "asked for by ACD_CUDA_ATTENTION"};
  if (const auto words = cache_.find(shape)) {
    const auto [cudnn, ours_ms, cudnn_ms] = std::tuple((*words)[0], (*words)[1], (*words)[2]);
    return Choice{cudnn ? AttentionKernel::kCudnn : AttentionKernel::kOurs,
                  times(float_of(ours_ms), float_of(cudnn_ms)) + ", measured before"};
  }
  const Status same = contest.agree();
  if (!same.ok()) return failed(same);
  float ours = 0, cudnn = 0;
  for (const auto& [kernel, milliseconds] :
       {std::pair(AttentionKernel::kOurs, &ours), std::pair(AttentionKernel::kCudnn, &cudnn)}) {
    const Status timed = contest.time(kernel, *milliseconds);
    if (!timed.ok()) return failed(timed);
  }
  const bool theirs = cudnn < ours;
  cache_.put(shape, {theirs, word_of(ours), word_of(cudnn)});
  return Choice{theirs ? AttentionKernel::kCudnn : AttentionKernel::kOurs, times(ours, cudnn)};
}

std::vector<std::string> AttentionChoice::report() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> lines;
  for (const auto& [shape, choice] : chosen_) {
    lines.push_back("attention " + shape + ": " +
                    (choice.kernel == AttentionKernel::kCudnn ? "cuDNN" : "ours") + " (" +
                    choice.why + ")");
  }
  return lines;
}

}  // namespace acd
