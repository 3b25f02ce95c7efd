#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "workers/device/precision.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/kernels/custom_kernels.h"
#include "workers/network/forward_plan.h"

namespace tessera {

/// What a forward pass keeps for the backward pass after it.
struct KeptImages {
  std::shared_ptr<const GradientPlan> plan;
  at::Tensor input;
  std::vector<at::Tensor> images;  ///< by buffer: images, and in the backward pass their gradients
  std::map<int, at::Tensor>
      pooled_from;  ///< places of the maxima, by the buffer of the pooled image; custom kernels need none
};

/// The kernels of both passes of a network in training: LibTorch's, on images in channels_last, in one
/// precision. They wait for nothing, draw nothing and keep the parameters' copies at their places, so that
/// they can be recorded.
class GpuPasses {
 public:
  /// Only where `can_plan_gradient`.
  GpuPasses(FlatParameters& parameters, Precision precision, const KernelLauncher& launch);

  at::ScalarType type() const { return type_; }
  /// Casts and arranges the parameters; to be called before a pass when they have changed.
  void read_parameters();
  /// For each dropout of a pass over `input`, what it multiplies by, a seed for each sample.
  std::vector<at::Tensor> dropout_masks(const at::Tensor& input, std::span<const std::uint64_t> seeds);
  /// Logits (n, classes, h, w), float32, of an input (n, channels, H, W).
  at::Tensor forward(const at::Tensor& input, const std::vector<at::Tensor>& masks, const GpuKernels& kernels,
                     KeptImages& kept);
  /// Adds the parameters' gradient to the flat sums. What was kept is used up.
  void backward(const at::Tensor& logits_gradient, KeptImages& kept, const GradientReady& ready) const;

 private:
  /// A layer's parameters as the kernels want them.
  struct Layer {
    std::string name;
    bool is_up = false;       ///< an up-convolution
    at::Tensor weight, bias;  ///< (out, in, k, k) of the plain convolution, (out); in the engine's type
    std::int64_t gradients_final = 0;  ///< values of the flat gradient that are final once this layer is done
  };
  class Forward;
  class Backward;

  const Layer& layer_of(const ForwardStep& step) const { return layers_.at(step.layer); }
  at::Tensor value(const Layer& layer, const char* part) const;
  at::Tensor gradient(const Layer& layer, const char* part) const;
  void keep(Layer& layer, const at::Tensor& weight, const at::Tensor& bias) const;
  std::shared_ptr<const GradientPlan> plan_for(const at::Tensor& input);

  FlatParameters& parameters_;
  NetworkDescription network_;
  gpu::CustomKernels own_;
  at::ScalarType type_;
  std::map<int, Layer> layers_;  ///< by their number in the description; the last one makes the logits
  std::shared_ptr<const GradientPlan> plan_;  ///< of the last input's height and width
  std::int64_t height_ = 0, width_ = 0;
};

}  // namespace tessera
