// Calls that are answered later: what JavaScript gets for a job, and how its promise is settled.
// Half of it is JavaScript (calls.cc), where a field, a promise or holding an array costs a
// fraction of what it does through Node-API; numbers pass through memory that both sides see.
#pragma once

#include <napi.h>

#include "infer/jobs.h"

namespace acd {

// Where a number of a job stands in Calls::numbers(). One that is there but is no number is
// infinite; one that may be absent and is, is NaN.
enum JobNumber : size_t {
  kJobWidth,
  kJobHeight,
  kJobBlurTaps,
  kJobBlurSigma,
  kJobMapWeight,
  kJobMap,  // 0 none, 1 model, 2 image
  kJobRegionThreshold,
  kJobRegionMinArea,
  kJobLent,  // 0 or 1, as those that follow
  kJobDebug,
  kJobStages,
};

// All of it on the JavaScript thread only.
class Calls {
 public:
  // Finds the promise of a call again.
  using Ticket = double;

  explicit Calls(Napi::Env env);

  // A function that calls `submit` with a ticket before its own arguments and gives JavaScript
  // { id, result }. `submit` gives back what must not be collected before the result is there, and
  // leaves the id with took().
  Napi::Value method(Napi::Function submit) const { return method_.Call({submit}); }
  // The same for a DetectJob: `submit` is called with (ticket, pixels, tensor, text), or with
  // nothing where the job is no object, and finds the rest in numbers(). It gives back the map's
  // array, which the detection then holds, or undefined.
  Napi::Value detect_method(Napi::Function submit) const { return detect_method_.Call({submit}); }
  double* numbers() const { return numbers_; }
  void took(uint64_t id) const { numbers_[0] = static_cast<double>(id); }

  void resolve(Ticket ticket, napi_value result) const;
  void reject(Ticket ticket, napi_value error) const;
  // `more`: an object with the fields that not every detection has, or undefined.
  void resolve_detection(Ticket ticket, const Detection& d, napi_value more) const;

 private:
  Napi::FunctionReference method_, detect_method_, resolve_, reject_, resolve_detection_;
  Napi::Reference<Napi::Float64Array> array_;
  double* numbers_ = nullptr;
};

}  // namespace acd
