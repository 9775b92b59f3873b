// How long work on a stream takes.
#pragma once

#include <functional>

#include "core/status.h"

namespace acd {

class CudaContext;

// Milliseconds of `runs` calls of work(), which only begin what they do on the stream, after one
// call that does not count: the first run of a kernel loads it. Waits for all of them.
Status timed_on(CudaContext& context, void* stream, int runs, const std::function<Status()>& work,
                float& milliseconds);

}  // namespace acd
