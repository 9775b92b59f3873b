// The one place that knows which C++ interface of oneDNN (2.x or 3.x) is installed.
#pragma once

#include <oneapi/dnnl/dnnl_version.h>

#include <oneapi/dnnl/dnnl.hpp>

namespace acd {

inline dnnl::matmul::primitive_desc make_matmul(const dnnl::engine& engine,
                                                const dnnl::memory::desc& src,
                                                const dnnl::memory::desc& weights,
                                                const dnnl::memory::desc& bias,  // zero desc: none
                                                const dnnl::memory::desc& dst,
                                                const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias.is_zero()) return dnnl::matmul::primitive_desc(engine, src, weights, dst, attr);
  return dnnl::matmul::primitive_desc(engine, src, weights, bias, dst, attr);
#else
  const auto desc = bias.is_zero() ? dnnl::matmul::desc(src, weights, dst)
                                   : dnnl::matmul::desc(src, weights, bias, dst);
  return dnnl::matmul::primitive_desc(desc, attr, engine);
#endif
}

inline void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, alpha, 0.0f);
#else
  ops.append_eltwise(1.0f, algorithm, alpha, 0.0f);
#endif
}

}  // namespace acd
