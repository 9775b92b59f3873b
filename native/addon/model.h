// The JavaScript face of a Session.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/environment.h"
#include "infer/session.h"

namespace acd {

// A plain object whose functions hold the session; none of them looks at `this`.
Napi::Object make_model_object(Napi::Env env, const std::shared_ptr<Environment>& environment,
                               std::unique_ptr<Session> session, int threads);

Napi::Object region_object(Napi::Env env, const Region& r);

}  // namespace acd
