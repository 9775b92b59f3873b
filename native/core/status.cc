#include "core/status.h"

#include <new>

namespace acd {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kInvalidArg:
      return "ERR_ACD_INVALID_ARG";
    case Code::kFileNotFound:
      return "ERR_ACD_FILE_NOT_FOUND";
    case Code::kFileRead:
      return "ERR_ACD_FILE_READ";
    case Code::kCheckpointCorrupt:
      return "ERR_ACD_CHECKPOINT_CORRUPT";
    case Code::kCheckpointMismatch:
      return "ERR_ACD_CHECKPOINT_MISMATCH";
    case Code::kCheckpointNonFinite:
      return "ERR_ACD_CHECKPOINT_NON_FINITE";
    case Code::kImageLimit:
      return "ERR_ACD_IMAGE_LIMIT";
    case Code::kDeviceUnavailable:
      return "ERR_ACD_DEVICE_UNAVAILABLE";
    case Code::kUnsupported:
      return "ERR_ACD_UNSUPPORTED";
    case Code::kQueueFull:
      return "ERR_ACD_QUEUE_FULL";
    case Code::kAborted:
      return "ERR_ACD_ABORTED";
    case Code::kDisposed:
      return "ERR_ACD_DISPOSED";
    case Code::kOutOfMemory:
      return "ERR_ACD_OUT_OF_MEMORY";
    case Code::kNonFinite:
      return "ERR_ACD_NON_FINITE";
    case Code::kInternal:
      return "ERR_ACD_INTERNAL";
  }
  return "ERR_ACD_INTERNAL";
}

Status status_of_current_exception() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    // No message text here: building one may allocate. The short literal fits the small string.
    return Status(Code::kOutOfMemory, "out of memory");
  } catch (const std::exception& e) {
    return Status(Code::kInternal, e.what());
  } catch (...) {
    return Status(Code::kInternal, "unknown exception");
  }
}

}  // namespace acd
