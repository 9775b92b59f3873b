// Tensors read out of files at given places: values, refusals, and no trust in any number.
#include "model/weight_reader.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "core/half.h"

using namespace acd;

namespace {

class File {
 public:
  template <typename T>
  explicit File(const std::vector<T>& values) {
    char name[] = "/tmp/acd-weights-XXXXXX";
    const int fd = ::mkstemp(name);
    path = name;
    const auto bytes = static_cast<ssize_t>(values.size() * sizeof(T));
    REQUIRE(::write(fd, values.data(), static_cast<size_t>(bytes)) == bytes);
    ::close(fd);
  }
  ~File() { std::remove(path.c_str()); }
  std::string path;
};

using Shape = std::vector<int64_t>;

TensorPart part(FileType type, int64_t offset, Shape shape, Shape strides = {}) {
  TensorPart p;
  p.type = type;
  p.offset = offset;
  p.shape = std::move(shape);
  p.strides = std::move(strides);
  return p;
}

struct Read {
  Status status;
  std::vector<float> values;
};

Read read(const std::string& path, std::vector<TensorPart> parts, const Shape& shape,
          const Shape& declared) {
  WeightReader reader({path}, {{"t", declared, std::move(parts)}}, nullptr, nullptr);
  const Status opened = reader.open();
  if (!opened.ok()) return {opened, {}};
  auto buffer = reader.read("t", shape);
  if (!buffer.ok()) return {buffer.status(), {}};
  const FloatBuffer& b = buffer.value();
  return {Status(), {b.data(), b.data() + b.size()}};
}

Read read(const File& file, const TensorPart& p, const Shape& shape) {
  return read(file.path, {p}, shape, shape);
}

const float kNaN = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("every stored type becomes the same floats") {
  const std::vector<float> expected = {1, -2.5f, 0, 96};
  CHECK(read(File(expected), part(FileType::kF32, 0, {4}), {4}).values == expected);
  CHECK(read(File(std::vector<double>{1, -2.5, 0, 96}), part(FileType::kF64, 0, {4}), {4}).values ==
        expected);
  CHECK(read(File(std::vector<uint16_t>{0x3c00, 0xc100, 0, 0x5600}), part(FileType::kF16, 0, {4}),
             {4})
            .values == expected);
  CHECK(read(File(std::vector<uint16_t>{0x3f80, 0xc020, 0, 0x42c0}), part(FileType::kBf16, 0, {4}),
             {4})
            .values == expected);
}

TEST_CASE("a view is gathered by its strides, parts are stacked") {
  const File file(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(read(file, part(FileType::kF32, 4, {2, 3}, {1, 2}), {2, 3}).values ==
        std::vector<float>{1, 3, 5, 2, 4, 6});
  CHECK(read(file, part(FileType::kF32, 8, {2, 2}, {0, 1}), {2, 2}).values ==
        std::vector<float>{2, 3, 2, 3});
  CHECK(read(file.path, {part(FileType::kF32, 16, {1, 2}), part(FileType::kF32, 0, {1, 2})}, {2, 2},
             {2, 2})
            .values == std::vector<float>{4, 5, 0, 1});
}

TEST_CASE("NaN, Inf and values beyond float32 are refused with the tensor's name") {
  const auto refused = [](const Read& r) {
    return r.status.code() == Code::kCheckpointNonFinite &&
           r.status.message().find("tensor t holds NaN or Inf") != std::string::npos;
  };
  for (float bad : {kNaN, kInf, -kInf}) {
    CHECK(refused(read(File(std::vector<float>{1, bad}), part(FileType::kF32, 0, {2}), {2})));
    CHECK(refused(read(File(std::vector<float>{1, bad}), part(FileType::kF32, 0, {2}, {1}), {2})));
  }
  CHECK(refused(read(File(std::vector<double>{1e39}), part(FileType::kF64, 0, {1}), {1})));
  CHECK(refused(read(File(std::vector<uint16_t>{0x7c00}), part(FileType::kF16, 0, {1}), {1})));
  CHECK(refused(read(File(std::vector<uint16_t>{0x7f80}), part(FileType::kBf16, 0, {1}), {1})));
  for (FileType type : {FileType::kF16, FileType::kBf16, FileType::kF32}) {
    const File file(std::vector<uint32_t>{0x7f807c00, 0x7f807f80});
    WeightReader reader({file.path}, {{"t", {2, 1}, {part(type, 0, {2, 1})}}}, nullptr, nullptr);
    REQUIRE(reader.open().ok());
    CHECK(reader.read_table("t", {2, 1}).status().code() == Code::kCheckpointNonFinite);
  }
}

TEST_CASE("a file that ends inside a tensor is corrupt, wherever it ends") {
  for (size_t kept = 0; kept < 12; ++kept) {
    CAPTURE(kept);
    const File file(std::vector<uint8_t>(kept, 0));
    const Read r = read(file, part(FileType::kF32, 0, {3}), {3});
    CHECK(r.status.code() == Code::kCheckpointCorrupt);
    CHECK(r.status.message().find("ends inside tensor t") != std::string::npos);
  }
  const File file(std::vector<float>{1, 2});
  CHECK(read(file, part(FileType::kF32, int64_t{1} << 52, {2}), {2}).status.code() ==
        Code::kCheckpointCorrupt);
  CHECK(read(file, part(FileType::kF32, 0, {2, 1}, {2, 1}), {2, 1}).status.code() ==
        Code::kCheckpointCorrupt);
}

TEST_CASE("missing files and tensors and other shapes are told apart") {
  CHECK(read("/nonexistent/acd", {part(FileType::kF32, 0, {1})}, {1}, {1}).status.code() ==
        Code::kFileNotFound);
  CHECK(read("/tmp", {part(FileType::kF32, 0, {1})}, {1}, {1}).status.code() == Code::kFileRead);
  const File file(std::vector<float>{1, 2, 3, 4, 5, 6});
  const Read other = read(file, part(FileType::kF32, 0, {2, 3}), {2, 3});
  CHECK(other.status.ok());
  const Read shape = read(file.path, {part(FileType::kF32, 0, {2, 3})}, {3, 2}, {2, 3});
  CHECK(shape.status.code() == Code::kCheckpointMismatch);
  CHECK(shape.status.message() == "Expected shape [3, 2] for tensor t but received [2, 3]");
  WeightReader reader({file.path}, {}, nullptr, nullptr);
  REQUIRE(reader.open().ok());
  // No memory is asked for first: this shape would be 2^50 bytes.
  CHECK(reader.read("absent", {1 << 24, 1 << 24}).status().code() == Code::kCheckpointMismatch);
}

TEST_CASE("numbers that overflow are an impossible layout, not an access") {
  const File file(std::vector<float>(64, 1.0f));
  const int64_t huge = int64_t{1} << 40;
  const std::vector<TensorPart> impossible = {
      part(FileType::kF32, 0, {8, 8}, {huge, 1}),
      part(FileType::kF32, 0, {8, 8}, {std::numeric_limits<int64_t>::max(), 1}),
      part(FileType::kF32, 0, {8, 8}, {int64_t{1} << 61, int64_t{1} << 61}),
      part(FileType::kF32, 0, {8, 8}, {-8, 1}),
      part(FileType::kF32, 0, {8, 8}, {8}),
      part(FileType::kF32, -4, {8, 8}),
      part(FileType::kF32, 0, {-8, -8}),
      part(FileType::kF32, 0, {huge, huge}),
      part(FileType::kF32, 0, {std::numeric_limits<int64_t>::max(), 2}),
  };
  for (size_t i = 0; i < impossible.size(); ++i) {
    CAPTURE(i);
    CHECK(read(file, impossible[i], {8, 8}).status.code() == Code::kCheckpointCorrupt);
  }
  // 2^23 * 2^40 is 2^63 and 2^24 * 2^40 is 2^64: both wrap to something small.
  for (int64_t extent : {(int64_t{1} << 23) + 1, (int64_t{1} << 24) + 1}) {
    CHECK(read(file, part(FileType::kF32, 0, {extent}, {huge}), {extent}).status.code() ==
          Code::kCheckpointCorrupt);
  }
  TensorPart stranger = part(FileType::kF32, 0, {8, 8});
  stranger.file = 1;
  CHECK(read(file, stranger, {8, 8}).status.code() == Code::kCheckpointCorrupt);
  // Many parts whose elements add up past 2^63.
  const std::vector<TensorPart> many(40, part(FileType::kF32, 0, {int64_t{1} << 58}));
  CHECK(read(file.path, many, {8, 8}, {8, 8}).status.code() == Code::kCheckpointMismatch);
}

TEST_CASE("a cancelled load stops at the next piece; progress only grows") {
  const File file(std::vector<float>(3 << 20, 1.0f));
  std::vector<int64_t> seen;
  int left = 2;
  WeightReader reader(
      {file.path}, {{"t", {3 << 20}, {part(FileType::kF32, 0, {3 << 20})}}},
      [&](int64_t loaded, int64_t total) {
        CHECK(total == 12 << 20);
        CHECK(loaded > (seen.empty() ? 0 : seen.back()));
        seen.push_back(loaded);
      },
      [&] { return left-- == 0; });
  REQUIRE(reader.open().ok());
  CHECK(reader.read("t", {3 << 20}).status().code() == Code::kAborted);
  CHECK(seen.size() == 2);
}

TEST_CASE("a table keeps half floats and widens everything else") {
  const File file(std::vector<uint16_t>{0x3c00, 0x4000, 0x3c00, 0x4000});
  WeightReader reader({file.path},
                      {{"half", {2, 2}, {part(FileType::kF16, 0, {2, 2})}},
                       {"view", {2, 2}, {part(FileType::kF16, 0, {2, 2}, {2, 1})}}},
                      nullptr, nullptr);
  REQUIRE(reader.open().ok());
  const auto half = reader.read_table("half", {2, 2}), view = reader.read_table("view", {2, 2});
  REQUIRE(half.ok());
  REQUIRE(view.ok());
  CHECK(half.value().type == TableType::kF16);
  CHECK(half.value().bytes.bytes() == 8);
  CHECK(view.value().type == TableType::kF32);
  float second;
  std::memcpy(&second, view.value().bytes.data() + 4, sizeof second);
  CHECK(second == 2.0f);
}

TEST_CASE("half: every f16 widens to its exact value") {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const int exponent = static_cast<int>(h >> 10 & 0x1f), mantissa = static_cast<int>(h & 0x3ff);
    const float got = float_of_f16(static_cast<uint16_t>(h));
    if (exponent == 31 && mantissa != 0) {
      CHECK(std::isnan(got));
      continue;
    }
    double expected = exponent == 31  ? std::numeric_limits<double>::infinity()
                      : exponent == 0 ? std::ldexp(mantissa, -24)
                                      : std::ldexp(1024 + mantissa, exponent - 25);
    if (h & 0x8000) expected = -expected;
    CHECK(got == expected);
    CHECK(std::signbit(got) == ((h & 0x8000) != 0));
  }
}

TEST_CASE("scratch holds one tensor after another, whatever their sizes and types") {
  const File f32(std::vector<float>{1, 2, 3, 4, 5, 6}), f16(std::vector<uint16_t>{0x3c00, 0xc100});
  const auto tensor = [](const char* name, size_t file, FileType type, Shape shape) {
    TensorPart p = part(type, 0, shape);
    p.file = file;
    return TensorSource{name, shape, {p}};
  };
  WeightReader reader(
      {f32.path, f16.path},
      {tensor("large", 0, FileType::kF32, {2, 3}), tensor("small", 1, FileType::kF16, {2}),
       tensor("first", 0, FileType::kF32, {1})},
      nullptr, nullptr);
  REQUIRE(reader.open().ok());
  const auto values = [&](const char* name, const Shape& shape, size_t n) {
    const auto read = reader.read_scratch(name, shape);
    REQUIRE(read.ok());
    return std::vector<float>(read.value(), read.value() + n);
  };
  CHECK(values("small", {2}, 2) == std::vector<float>{1, -2.5f});
  CHECK(values("large", {2, 3}, 6) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(values("first", {1}, 1) == std::vector<float>{1});
  CHECK(values("small", {2}, 2) == std::vector<float>{1, -2.5f});
  CHECK_FALSE(reader.read_scratch("small", {3}).ok());
}
