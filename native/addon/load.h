// Loading a model on a thread of its own.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/environment.h"

namespace acd {

// load(spec, onProgress) -> { cancel, result }
Napi::Value load(const Napi::CallbackInfo& info, const std::shared_ptr<Environment>& environment);

}  // namespace acd
