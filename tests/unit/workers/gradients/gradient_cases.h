#pragma once

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <ostream>
#include <vector>

#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/loss.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera::testing {

struct GradientCase {
  const char* name;
  UNetOptions options;
  std::int64_t height, width;  ///< of the output, at least
};
inline void PrintTo(const GradientCase& c, std::ostream* out) {
  *out << c.name;
}

inline UNetOptions small(const std::function<void(UNetOptions&)>& change = {}) {
  UNetOptions options;
  options.base_filters = 4;
  options.depth = 2;
  options.dropout = 0;
  if (change) change(options);
  return options;
}

/// A forward and a backward pass: logits, and the flat gradient after `samples` of them.
struct Pass {
  at::Tensor logits, gradient;
  std::vector<std::int64_t> ready;
};

/// The loss has random classes and weights, so that every logit has a gradient.
inline Pass run(GradientEngine& engine, FlatParameters& parameters, std::int64_t height, std::int64_t width,
                int samples = 1, int seed = 5) {
  const NetworkDescription& options = parameters.network().description();
  Pass pass;
  parameters.sums().zero_();
  engine.parameters_changed();
  for (int s = 0; s < samples; ++s) {
    at::manual_seed(static_cast<std::uint64_t>(seed + s));
    const at::Tensor input =
        at::randn({1, options.in_channels, height, width}).contiguous(at::MemoryFormat::ChannelsLast);
    pass.logits = engine.forward(input, 11);
    at::Tensor leaf = pass.logits.clone().requires_grad_(true);
    at::manual_seed(static_cast<std::uint64_t>(10 * seed + s));
    const at::Tensor classes = at::randint(0, std::max<std::int64_t>(2, options.classes()),
                                           {1, leaf.size(2), leaf.size(3)}, at::kLong);
    loss_sum(leaf, classes, at::rand({1, leaf.size(2), leaf.size(3)}), 0).backward();
    pass.ready.clear();
    engine.backward(leaf.grad(), [&](std::int64_t values) { pass.ready.push_back(values); });
  }
  pass.gradient = parameters.gradient().clone();
  return pass;
}

inline FlatParameters parameters_of(const UNetOptions& options) {
  auto network = make_network(options, 3);
  network->train();
  FlatParameters parameters(network, at::kCPU);
  // Nonzero biases, so that a lost one is detected.
  const at::NoGradGuard no_grad;
  at::manual_seed(17);
  parameters.values().add_(at::randn(parameters.values().sizes()), 0.02);
  return parameters;
}

inline double cosine(const at::Tensor& a, const at::Tensor& b) {
  return a.dot(b).item<double>() / (a.norm().item<double>() * b.norm().item<double>());
}

inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

/// Values reported as final do not change: a copy taken at the report equals the end.
inline void expect_final_when_said(GradientEngine& engine, FlatParameters& parameters, std::int64_t height,
                                   std::int64_t width) {
  std::vector<std::pair<std::int64_t, at::Tensor>> copies;
  const std::int64_t channels = parameters.network().description().in_channels;
  const at::Tensor logits = engine.forward(at::randn({1, channels, height, width}), 1);
  parameters.sums().zero_();
  engine.backward(at::randn(logits.sizes()), [&](std::int64_t values) {
    copies.emplace_back(values, parameters.sums().narrow(0, 0, values).clone());
  });
  ASSERT_GT(copies.size(), 5U);
  for (const auto& [values, copy] : copies)
    EXPECT_TRUE(at::equal(copy, parameters.sums().narrow(0, 0, values))) << values;
}

/// Networks of every option whose backward pass can be planned.
inline std::vector<GradientCase> cases() {
  return {GradientCase{"paper", small(), 20, 36},
          GradientCase{"deep", small([](auto& o) { o.depth = 4; }), 4, 20},
          GradientCase{"one_class", small([](auto& o) { o.classes = 1; }), 20, 20},
          GradientCase{"five_classes_three_channels", small([](auto& o) {
                         o.classes = 5;
                         o.in_channels = 3;
                       }),
                       20, 20},
          GradientCase{"one_convolution", small([](auto& o) { o.block_convs = 1; }), 20, 20},
          GradientCase{"three_convolutions", small([](auto& o) { o.block_convs = 3; }), 20, 20},
          GradientCase{"sixteen_filters", small([](auto& o) { o.base_filters = 16; }), 36, 20},
          GradientCase{"many_channels", small([](auto& o) { o.base_filters = 64; }), 20, 20},
          GradientCase{"same_padding", small([](auto& o) { o.padding = Padding::same; }), 48, 64}};
}

}  // namespace tessera::testing
