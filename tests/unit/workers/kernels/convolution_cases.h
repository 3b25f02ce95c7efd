#pragma once

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "workers/kernels/fixed_order_convolution.h"
#include "workers/kernels/gpu_operators.h"

namespace tessera::testing {

/// A convolution of images (samples, channels, height, width) with side x side taps and zero padding.
struct Case {
  std::int64_t samples, channels, filters, height, width, side, before, after;
};

struct Tensors {
  at::Tensor x, weight, bias;
};

/// Random values, equal at every call.
inline Tensors tensors_of(const Case& c, at::ScalarType type) {
  at::manual_seed(5);
  return {gpu::channels_last(at::randn({c.samples, c.channels, c.height, c.width}), type),
          gpu::channels_last(at::randn({c.filters, c.channels, c.side, c.side}), type),
          at::randn({c.filters}).to(type)};
}

inline at::Tensor convolved_by(const gpu::FixedOrderConvolution& by, const Tensors& t, const Case& c,
                               bool rectify) {
  EXPECT_TRUE(by.can_take(t.x, t.weight, t.bias));
  at::Tensor found = by.convolve(t.x, t.weight, t.bias, c.before, c.after, rectify);
  EXPECT_TRUE(found.is_contiguous(at::MemoryFormat::ChannelsLast));
  return found;
}

/// The expected result, in float64.
inline at::Tensor in_double(const Tensors& t, const Case& c, bool rectify) {
  const at::Tensor in = at::constant_pad_nd(t.x.to(at::kDouble), {c.before, c.after, c.before, c.after});
  const at::Tensor sums = at::conv2d(in, t.weight.to(at::kDouble), t.bias.to(at::kDouble));
  return rectify ? sums.relu() : sums;
}

inline std::string text(const Case& c) {
  return std::to_string(c.channels) + " to " + std::to_string(c.filters) + " channels, " +
         std::to_string(c.side) + " taps";
}

}  // namespace tessera::testing
