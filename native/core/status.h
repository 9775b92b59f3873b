// Ways of failing inside native code. A Status says what the user or the file did wrong, or what
// the machine ran out of; an ACD_ASSERT says that we are wrong and becomes kInternal, never an
// abort.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace acd {

enum class Code {
  kOk,
  kInvalidArg,
  kFileNotFound,
  kFileRead,
  kCheckpointCorrupt,
  kCheckpointMismatch,
  kCheckpointNonFinite,
  kImageLimit,
  kDeviceUnavailable,
  kUnsupported,
  kQueueFull,
  kAborted,
  kDisposed,
  kOutOfMemory,
  kNonFinite,
  kInternal,
};

// The code's name in lib/errors.ts.
const char* code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT: implicit by design
  Result(Status status) : state_(std::move(status)) {}  // NOLINT: implicit by design
  bool ok() const { return state_.index() == 0; }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  Status status() const { return ok() ? Status() : std::get<1>(state_); }

 private:
  std::variant<T, Status> state_;
};

// A broken invariant of ours. Thrown, caught at the thread's or the addon's entry, reported as
// kInternal.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Runs `fn`, turning anything it throws into a Status: every thread and every addon entry uses it.
template <typename Fn>
Status guarded(Fn&& fn) noexcept;

Status status_of_current_exception() noexcept;

template <typename Fn>
Status guarded(Fn&& fn) noexcept {
  try {
    return fn();
  } catch (...) {
    return status_of_current_exception();
  }
}

}  // namespace acd

#define ACD_RETURN_IF_ERROR(expr)              \
  do {                                         \
    ::acd::Status acd_status_ = (expr);        \
    if (!acd_status_.ok()) return acd_status_; \
  } while (0)

#define ACD_STRINGIZE_(x) #x
#define ACD_STRINGIZE(x) ACD_STRINGIZE_(x)
#define ACD_ASSERT(cond)                                                    \
  do {                                                                      \
    if (!(cond))                                                            \
      throw ::acd::InternalError("invariant broken: " #cond " at " __FILE__ \
                                 ":" ACD_STRINGIZE(__LINE__));              \
  } while (0)
