// The data generator, on a thread of its own for each call.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/environment.h"

namespace acd {

Napi::Object make_datagen(Napi::Env env, const std::shared_ptr<Environment>& environment);

}  // namespace acd
