// Ops one by one, synchronously: for oracle tests and micro-benchmarks.
#pragma once

#include <napi.h>

namespace acd {

Napi::Object make_kernels(Napi::Env env);

}  // namespace acd
