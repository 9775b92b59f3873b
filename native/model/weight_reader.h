// Reads tensors out of files at places that TypeScript has parsed and checked. No format is parsed
// here: a tensor is (file, offset, dtype, shape, strides), read in bounded pieces with pread, never
// mapped (a mapped file that shrinks is a SIGBUS that nothing catches).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/aligned.h"
#include "core/status.h"
#include "ops/gather_tokens/gather_tokens.h"

namespace acd {

enum class FileType { kF32, kF16, kBf16, kF64 };

struct TensorPart {
  size_t file = 0;
  int64_t offset = 0;
  FileType type = FileType::kF32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // elements; empty = contiguous
};

struct TensorSource {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<TensorPart> parts;  // stacked along axis 0
};

class WeightReader {
 public:
  using Progress = std::function<void(int64_t loaded_bytes, int64_t total_bytes)>;

  WeightReader(std::vector<std::string> files, std::vector<TensorSource> tensors, Progress progress,
               std::function<bool()> cancelled);
  ~WeightReader();
  WeightReader(const WeightReader&) = delete;
  WeightReader& operator=(const WeightReader&) = delete;

  Status open();

  // The tensor as f32 in row-major order. Checks the shape, that every value is finite, and that
  // the bytes are in the file.
  Status read(const std::string& name, const std::vector<int64_t>& shape, float* out);
  Result<FloatBuffer> read(const std::string& name, const std::vector<int64_t>& shape);
  // The same in memory of the reader's, which the caller may change and the next call overwrites:
  // what is packed or uploaded at once needs no buffer of its own, and fresh memory costs more than
  // reading the file.
  Result<float*> read_scratch(const std::string& name, const std::vector<int64_t>& shape);
  // Gives that memory back.
  void drop_scratch();

  // A table kept as the file has it where the backend takes that type, otherwise f32.
  struct Table {
    AlignedBytes bytes;
    TableType type;
  };
  Result<Table> read_table(const std::string& name, const std::vector<int64_t>& shape);

 private:
  Result<const TensorSource*> find(const std::string& name,
                                   const std::vector<int64_t>& shape) const;
  Status read_part(const TensorSource& tensor, const TensorPart& part, float* out);
  Status read_bytes(const TensorSource& tensor, const TensorPart& part, int64_t first_byte,
                    void* out, size_t bytes);

  std::vector<std::string> paths_;
  std::vector<int> fds_;
  std::map<std::string, TensorSource> tensors_;
  Progress progress_;
  std::function<bool()> cancelled_;
  int64_t loaded_ = 0;
  int64_t total_ = 0;
  AlignedBytes piece_;
  FloatBuffer scratch_;
};

}  // namespace acd
