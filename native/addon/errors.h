// Status -> JavaScript error, and the catch-all that no C++ exception passes.
#pragma once

#include <napi.h>

#include <string>

#include "core/status.h"

namespace acd {

inline Napi::Error make_error(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, code_name(status.code())));
  return error;
}

[[noreturn]] inline void throw_status(Napi::Env env, const Status& status) {
  throw make_error(env, status);
}

// Runs an entry from JavaScript. Errors of JavaScript pass, everything else becomes ERR_ACD_*.
template <typename Fn>
Napi::Value entry_point(Napi::Env env, Fn&& fn) {
  try {
    return fn();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw_status(env, status_of_current_exception());
  }
}

}  // namespace acd
