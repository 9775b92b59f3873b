// Which of two kernels an attention runs on: ours, or cuDNN's. The faster one by a short
// measurement at a shape's first use, kept in a file between processes; where cuDNN says no, ours,
// and why.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "backend/cuda/host/algorithm_cache.h"
#include "core/status.h"
#include "ops/attention/attention.h"

namespace acd {

enum class AttentionKernel { kOurs, kCudnn };

// What ACD_CUDA_ATTENTION asks for: "ours", "cudnn", or anything else for the faster one.
enum class AttentionWish { kFaster, kOurs, kCudnn };
AttentionWish attention_wish(const char* (*environ)(const char*));

class AttentionChoice {
 public:
  // What a shape's first use needs. Each fails with kUnsupported where cuDNN is not to be used, and
  // the message says why.
  struct Contest {
    std::function<Status()> prepare;  // cuDNN's plan for the shape
    std::function<Status()> agree;    // both kernels give the same numbers
    std::function<Status(AttentionKernel, float& milliseconds)> time;
  };

  AttentionChoice(std::string cache_path, std::string identity, AttentionWish wish)
      : cache_(std::move(cache_path), std::move(identity)), wish_(wish) {}

  // may_measure: false while a graph is captured; a shape that is new then runs on ours, and is
  // measured at its next use. Fails only where the device does.
  Result<AttentionKernel> choose(const AttentionParams& p, bool may_measure,
                                 const Contest& contest);

  // One line a shape that was chosen for.
  std::vector<std::string> report() const;

 private:
  struct Choice {
    AttentionKernel kernel;
    std::string why;
  };
  Result<Choice> decide(const std::string& shape, const Contest& contest, bool& keep);

  AlgorithmCache cache_;
  const AttentionWish wish_;
  mutable std::mutex mutex_;
  std::map<std::string, Choice> chosen_;
};

}  // namespace acd
