#include "model/weight_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/checked.h"
#include "core/half.h"

namespace acd {
namespace {

constexpr int64_t kPieceElements = 1 << 20;

int64_t item_bytes(FileType t) {
  switch (t) {
    case FileType::kF64:
      return 8;
    case FileType::kF32:
      return 4;
    default:
      return 2;
  }
}

int64_t count(const std::vector<int64_t>& shape) {
  size_t n = 1;
  for (int64_t s : shape) {
    const auto next = s < 0 ? std::nullopt : checked_mul(n, static_cast<size_t>(s));
    if (!next || *next > static_cast<size_t>(std::numeric_limits<int64_t>::max() / 16)) return -1;
    n = *next;
  }
  return static_cast<int64_t>(n);
}

std::string text(const std::vector<int64_t>& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + "]";
}

// The loop of widen for one type, so that the compiler can make vectors of it.
template <typename In, typename Convert>
bool widen_each(const void* in, float* out, int64_t n, Convert convert) {
  const auto* from = static_cast<const In*>(in);
  uint32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float v = convert(from[i]);
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    bad |= (bits & 0x7f800000u) == 0x7f800000u;
    out[i] = v;
  }
  return bad == 0;
}

// Widens to f32; false when a value is NaN or Inf, or leaves f32's range. `in` may be `out` for
// f32.
bool widen(FileType type, const void* in, float* out, int64_t n) {
  switch (type) {
    case FileType::kF32:
      return widen_each<float>(in, out, n, [](float v) { return v; });
    case FileType::kF16:
      return widen_each<uint16_t>(in, out, n, float_of_f16);
    case FileType::kBf16:
      return widen_each<uint16_t>(in, out, n, float_of_bf16);
    default:
      return widen_each<double>(in, out, n, [](double v) { return static_cast<float>(v); });
  }
}

Status non_finite(const TensorSource& t) {
  return Status(Code::kCheckpointNonFinite,
                "Expected finite weights but tensor " + t.name +
                    " holds NaN or Inf; the file is damaged or training diverged");
}

}  // namespace

WeightReader::WeightReader(std::vector<std::string> files, std::vector<TensorSource> tensors,
                           Progress progress, std::function<bool()> cancelled)
    : paths_(std::move(files)), progress_(std::move(progress)), cancelled_(std::move(cancelled)) {
  for (TensorSource& t : tensors) {
    for (const TensorPart& part : t.parts) {
      const int64_t bytes = std::max<int64_t>(0, count(part.shape)) * item_bytes(part.type);
      total_ = std::min(total_ + bytes, std::numeric_limits<int64_t>::max() / 2);
    }
    std::string name = t.name;
    tensors_.emplace(std::move(name), std::move(t));
  }
}

WeightReader::~WeightReader() {
  for (int fd : fds_) ::close(fd);
}

Status WeightReader::open() {
  for (const std::string& path : paths_) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      return Status(errno == ENOENT ? Code::kFileNotFound : Code::kFileRead,
                    "Cannot open " + path + ": " + std::strerror(errno));
    }
    fds_.push_back(fd);
  }
  return Status();
}

Result<const TensorSource*> WeightReader::find(const std::string& name,
                                               const std::vector<int64_t>& shape) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end())
    return Status(Code::kCheckpointMismatch, "Tensor " + name + " is missing");
  const TensorSource& t = it->second;
  int64_t elements = 0;
  for (const TensorPart& part : t.parts) {
    const int64_t n = count(part.shape);
    if (n < 0 || part.file >= fds_.size() || part.offset < 0 ||
        (!part.strides.empty() && part.strides.size() != part.shape.size())) {
      return Status(Code::kCheckpointCorrupt, "Tensor " + name + " has an impossible layout");
    }
    // Neither overflows: a sane tensor has fewer elements than this by orders of magnitude.
    elements = std::min(elements + n, std::numeric_limits<int64_t>::max() / 4);
  }
  if (t.shape != shape || elements != count(shape)) {
    return Status(Code::kCheckpointMismatch, "Expected shape " + text(shape) + " for tensor " +
                                                 name + " but received " + text(t.shape));
  }
  return &t;
}

Status WeightReader::read_bytes(const TensorSource& tensor, const TensorPart& part,
                                int64_t first_byte, void* out, size_t bytes) {
  if (cancelled_ && cancelled_()) return Status(Code::kAborted, "loading was cancelled");
  auto* to = static_cast<uint8_t*>(out);
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n =
        ::pread(fds_[part.file], to + done, bytes - done,
                static_cast<off_t>(part.offset + first_byte + static_cast<int64_t>(done)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return Status(Code::kFileRead,
                    "Cannot read " + paths_[part.file] + ": " + std::strerror(errno));
    if (n == 0) {
      return Status(Code::kCheckpointCorrupt,
                    paths_[part.file] + " ends inside tensor " + tensor.name);
    }
    done += static_cast<size_t>(n);
  }
  loaded_ += static_cast<int64_t>(bytes);
  if (progress_) progress_(std::min(loaded_, total_), total_);
  return Status();
}

Status WeightReader::read_part(const TensorSource& tensor, const TensorPart& part, float* out) {
  const int64_t n = count(part.shape), size = item_bytes(part.type);
  if (n == 0) return Status();
  if (part.strides.empty()) {
    // f32 is read where it shall be, other types into a piece that all tensors share.
    const bool in_place = part.type == FileType::kF32;
    const auto wanted = static_cast<size_t>(std::min(n, kPieceElements) * size);
    if (!in_place && piece_.bytes() < wanted) piece_ = AlignedBytes(wanted);
    for (int64_t i = 0; i < n; i += kPieceElements) {
      const int64_t m = std::min(kPieceElements, n - i);
      void* to = in_place ? static_cast<void*>(out + i) : piece_.data();
      ACD_RETURN_IF_ERROR(read_bytes(tensor, part, i * size, to, static_cast<size_t>(m * size)));
      if (!widen(part.type, to, out + i, m)) return non_finite(tensor);
    }
    return Status();
  }
  // A view: its whole span is read, then gathered index by index. Spans of sane views are as long
  // as the tensor; anything else is refused.
  int64_t last = 0;
  for (size_t d = 0; d < part.shape.size(); ++d) {
    if (part.strides[d] < 0)
      return Status(Code::kCheckpointCorrupt, "Tensor " + tensor.name + " has a negative stride");
    const auto reach =
        checked_mul(static_cast<size_t>(part.shape[d] - 1), static_cast<size_t>(part.strides[d]));
    // n itself is far below 2^60, see count().
    if (!reach || *reach >= size_t{1} << 61) {
      last = std::numeric_limits<int64_t>::max();
      break;
    }
    last = std::min(last + static_cast<int64_t>(*reach), int64_t{1} << 61);
  }
  if (last / 4 >= n + 1024)
    return Status(Code::kCheckpointCorrupt,
                  "Tensor " + tensor.name + " is a view of impossible span");
  AlignedBytes span(static_cast<size_t>((last + 1) * size));
  ACD_RETURN_IF_ERROR(read_bytes(tensor, part, 0, span.data(), span.bytes()));
  std::vector<int64_t> index(part.shape.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * part.strides[d];
    if (!widen(part.type, span.data() + at * size, out + i, 1)) return non_finite(tensor);
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < part.shape[d]) break;
      index[d] = 0;
    }
  }
  return Status();
}

Status WeightReader::read(const std::string& name, const std::vector<int64_t>& shape, float* out) {
  const auto tensor = find(name, shape);
  if (!tensor.ok()) return tensor.status();
  for (const TensorPart& part : tensor.value()->parts) {
    ACD_RETURN_IF_ERROR(read_part(*tensor.value(), part, out));
    out += count(part.shape);
  }
  return Status();
}

Result<FloatBuffer> WeightReader::read(const std::string& name, const std::vector<int64_t>& shape) {
  const auto tensor = find(name, shape);  // before memory is asked for
  if (!tensor.ok()) return tensor.status();
  FloatBuffer buffer(static_cast<size_t>(count(shape)));
  ACD_RETURN_IF_ERROR(read(name, shape, buffer.data()));
  return buffer;
}

Result<float*> WeightReader::read_scratch(const std::string& name,
                                          const std::vector<int64_t>& shape) {
  const auto tensor = find(name, shape);  // before memory is asked for
  if (!tensor.ok()) return tensor.status();
  const auto n = static_cast<size_t>(count(shape));
  if (scratch_.size() < n) scratch_ = FloatBuffer(n);
  ACD_RETURN_IF_ERROR(read(name, shape, scratch_.data()));
  return scratch_.data();
}

void WeightReader::drop_scratch() {
  piece_ = AlignedBytes();
  scratch_ = FloatBuffer();
}

Result<WeightReader::Table> WeightReader::read_table(const std::string& name,
                                                     const std::vector<int64_t>& shape) {
  const auto found = find(name, shape);
  if (!found.ok()) return found.status();
  const TensorSource& tensor = *found.value();
  const TensorPart& part = tensor.parts.front();
  const bool half = part.type == FileType::kF16 || part.type == FileType::kBf16;
  if (tensor.parts.size() != 1 || !part.strides.empty() || !half) {
    auto wide = AlignedBytes(static_cast<size_t>(count(shape)) * sizeof(float));
    ACD_RETURN_IF_ERROR(read(name, shape, reinterpret_cast<float*>(wide.data())));
    return Table{std::move(wide), TableType::kF32};
  }
  Table table{AlignedBytes(static_cast<size_t>(count(shape)) * 2),
              part.type == FileType::kF16 ? TableType::kF16 : TableType::kBf16};
  const uint16_t infinity = part.type == FileType::kF16 ? 0x7c00 : 0x7f80;
  for (int64_t i = 0; i < count(shape); i += kPieceElements) {
    const int64_t m = std::min(kPieceElements, count(shape) - i);
    auto* to = reinterpret_cast<uint16_t*>(table.bytes.data()) + i;
    ACD_RETURN_IF_ERROR(read_bytes(tensor, part, i * 2, to, static_cast<size_t>(m) * 2));
    bool bad = false;
    for (int64_t j = 0; j < m; ++j) bad |= (to[j] & infinity) == infinity;
    if (bad) return non_finite(tensor);
  }
  return table;
}

}  // namespace acd
