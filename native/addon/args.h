// Reading arguments. TypeScript has validated what users pass; these checks are the second door and
// keep a wrong call from becoming a crash. Everything is copied out before a call returns.
#pragma once

#include <napi.h>

#include <cstring>
#include <string>
#include <vector>

#include "addon/errors.h"

namespace acd {

class Fields {
 public:
  Fields(Napi::Env env, Napi::Value value, const char* what) : env_(env), what_(what) {
    if (!value.IsObject()) fail("object", "");
    object_ = value.As<Napi::Object>();
  }

  bool has(const char* name) const { return !object_.Get(name).IsUndefined(); }
  Napi::Value value(const char* name) const { return object_.Get(name); }

  double number(const char* name, double low, double high) const {
    const Napi::Value v = object_.Get(name);
    if (!v.IsNumber()) fail("number", name);
    const double d = v.As<Napi::Number>().DoubleValue();
    if (!(d >= low && d <= high))
      fail("number between " + std::to_string(low) + " and " + std::to_string(high), name);
    return d;
  }

  int64_t integer(const char* name, int64_t low, int64_t high) const {
    const double d = number(name, static_cast<double>(low), static_cast<double>(high));
    if (d != static_cast<double>(static_cast<int64_t>(d))) fail("integer", name);
    return static_cast<int64_t>(d);
  }

  bool boolean(const char* name) const {
    const Napi::Value v = object_.Get(name);
    if (!v.IsBoolean()) fail("boolean", name);
    return v.As<Napi::Boolean>().Value();
  }

  std::string string(const char* name) const {
    const Napi::Value v = object_.Get(name);
    if (!v.IsString()) fail("string", name);
    return v.As<Napi::String>().Utf8Value();
  }

  Napi::Array array(const char* name) const {
    const Napi::Value v = object_.Get(name);
    if (!v.IsArray()) fail("array", name);
    return v.As<Napi::Array>();
  }

  std::vector<int64_t> integers(const char* name, int64_t low, int64_t high) const {
    const Napi::Array a = array(name);
    std::vector<int64_t> out;
    for (uint32_t i = 0; i < a.Length(); ++i) {
      const Napi::Value v = a.Get(i);
      const double d = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : -1e300;
      if (!(d >= static_cast<double>(low) && d <= static_cast<double>(high)))
        fail("array of integers", name);
      out.push_back(static_cast<int64_t>(d));
    }
    return out;
  }

  [[noreturn]] void fail(const std::string& expected, const char* name) const {
    throw_status(env_, Status(Code::kInvalidArg, "Expected " + expected + " for " + what_ +
                                                     (*name ? "." : "") + name));
  }

 private:
  Napi::Env env_;
  std::string what_;
  Napi::Object object_;
};

// The memory of a typed array of exactly this element type.
template <typename T>
struct ArrayView {
  const T* data = nullptr;
  size_t size = 0;
};

template <typename T>
ArrayView<T> typed_array_view(Napi::Env env, Napi::Value value, const char* name) {
  constexpr napi_typedarray_type type = std::is_same_v<T, float>      ? napi_float32_array
                                        : std::is_same_v<T, int32_t>  ? napi_int32_array
                                        : std::is_same_v<T, uint16_t> ? napi_uint16_array
                                                                      : napi_uint8_array;
  if (value.IsTypedArray()) {
    napi_typedarray_type actual;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, value, &actual, &length, &data, nullptr, nullptr) ==
            napi_ok &&
        actual == type) {
      return {static_cast<const T*>(data), length};
    }
  }
  throw_status(env, Status(Code::kInvalidArg, std::string("Expected ") +
                                                  (type == napi_float32_array  ? "Float32Array"
                                                   : type == napi_int32_array  ? "Int32Array"
                                                   : type == napi_uint16_array ? "Uint16Array"
                                                                               : "Uint8Array") +
                                                  " for " + name));
}

// A copy of its contents.
template <typename T>
std::vector<T> typed_array(Napi::Env env, Napi::Value value, const char* name) {
  const ArrayView<T> view = typed_array_view<T>(env, value, name);
  return std::vector<T>(view.data, view.data + view.size);
}

template <typename T, typename JsArray>
JsArray fresh_array(Napi::Env env, const T* data, size_t n) {
  JsArray out = JsArray::New(env, n);
  if (n) std::memcpy(out.Data(), data, n * sizeof(T));
  return out;
}

inline Napi::Float32Array float_array(Napi::Env env, const std::vector<float>& v) {
  return fresh_array<float, Napi::Float32Array>(env, v.data(), v.size());
}

}  // namespace acd
