// Weights once per process: models loaded with equal keys share one AcdClip, whichever JavaScript
// thread asked, for as long as somebody holds it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/acd_clip.h"

namespace acd {

// The model under `key`, or the one that `load` makes. Two callers with one key load once: the
// second waits. An empty key shares nothing.
Result<std::shared_ptr<const AcdClip>> shared_model(
    const std::string& key, const std::function<Result<std::shared_ptr<const AcdClip>>()>& load);

struct StoreInfo {
  size_t models;
  size_t bytes;
};
StoreInfo store_info();

}  // namespace acd
