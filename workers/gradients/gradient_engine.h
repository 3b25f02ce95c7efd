#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "workers/device/gpu_kernels.h"
#include "workers/device/precision.h"
#include "workers/gradients/flat_parameters.h"
#include "workers/gradients/gradient_ready.h"
#include "workers/network/between_layers.h"
#include "workers/network/network_description.h"

namespace tessera {

/// A network in training: its output for samples, and the gradient of a loss of that output. One thread makes
/// all calls. Errors of both passes: OutOfMemory.
class GradientEngine {
 public:
  virtual ~GradientEngine() = default;
  /// Describes the engine, such as "oneDNN 2.6, bfloat16".
  virtual std::string text() const = 0;
  /// Logits (n, classes, h, w), float32, in any memory order, of an input (n, channels, H, W), float32 on the
  /// parameters' device, n at most what the engine was made for. Dropout of each sample draws from the
  /// stream of its seed. Updates the batch statistics.
  virtual at::Tensor forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) = 0;
  /// For one sample.
  at::Tensor forward(const at::Tensor& input, std::uint64_t dropout_seed) {
    return forward(input, std::span<const std::uint64_t>(&dropout_seed, 1));
  }
  /// Adds the parameters' gradient for the last forward() to the flat sums; `logits_gradient` is the loss'
  /// gradient by its logits. `ready` may be empty.
  virtual void backward(const at::Tensor& logits_gradient, const GradientReady& ready) = 0;
  /// To be called whenever the parameters have changed.
  virtual void parameters_changed() {}
  /// For the next passes, where the engine computes on the CPU; other engines do not call it.
  void set_between_layers(BetweenLayers call) { between_layers_ = std::move(call); }

 protected:
  BetweenLayers between_layers_;
};

/// Whether `make_gradient_engine` uses oneDNN's primitives for this network on the CPU in this build.
bool has_onednn_gradients(const NetworkDescription& network);

/// Whether the device computes this network's gradients faster in bfloat16 than in float32: true for a GPU
/// and for a processor with bfloat16 instructions.
bool is_faster_in_bfloat16(const NetworkDescription& network, bool cuda);

/// Bytes that a worker needs for one sample at a time, with parameters, gradients, optimizer and packed
/// weights: exact for oneDNN but for its primitives' scratch memory, which is estimated; on a GPU the planned
/// images with room for cuDNN's workspace; a fitted model for LibTorch (docs/performance.md).
std::int64_t training_memory(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                             Precision precision, bool cuda);

/// The fastest engine of this build for the network, its device and so many samples at once: oneDNN's
/// primitives on the CPU for networks without batch normalisation and one sample, on a GPU for the same
/// networks make_gpu_engine's, else LibTorch. In bfloat16 the parameters, their gradients and all sums stay
/// float32; activations and their gradients are bfloat16. `parameters` must outlive it. Errors: UsageError
/// for a precision that the device lacks, and for float16.
std::unique_ptr<GradientEngine> make_gradient_engine(FlatParameters& parameters, Precision precision,
                                                     std::int64_t samples_at_once = 1);

/// LibTorch's operators and its automatic differentiation, on any device: the engine where there is no
/// other, and what others are compared with. What a sample drops is the same for any number above 1 of
/// samples at once, and on CUDA for any number.
std::unique_ptr<GradientEngine> make_autograd_engine(FlatParameters& parameters, Precision precision,
                                                     std::int64_t samples_at_once = 1);

struct GpuEngineOptions {
  KernelTimer time = {};  ///< chooses the kernels; empty: plain ones
  /// How both passes over inputs of at most so many pixels, all samples together, are recorded; empty: they
  /// are not.
  KernelRecorder record = {};
  std::int64_t recorded_pixels = std::int64_t{1} << 20;
  /// Starts the custom CUDA kernels; empty: LibTorch's kernels are used.
  KernelLauncher launch = {};
  /// The kernels themselves, in place of a choice.
  std::optional<GpuKernels> kernels = std::nullopt;
};

/// LibTorch's kernels on images in channels_last, for a GPU and to be tested on any device: convolution, bias
/// and ReLU in one kernel where that is measured to be faster, weights cast once an iteration, the
/// concatenation and its gradient without copies of their own, gradients straight onto the flat sums; passes
/// that come again and again recorded where that is measured to be faster, unless the gradients are to be
/// ready one by one. Any number of samples at once; what a sample drops is as in make_autograd_engine for
/// more than one. Only where `can_plan_gradient`.
std::unique_ptr<GradientEngine> make_gpu_engine(FlatParameters& parameters, Precision precision,
                                                const GpuEngineOptions& options = {});

/// oneDNN's primitives, forward and backward: convolution, bias and ReLU in one pass; the gradient of ReLU,
/// dropout, pooling and copy in one pass; weights packed once an iteration; the concatenation and its
/// gradient without copies of their own; all activations in one piece of memory. Only where
/// `has_onednn_gradients`.
std::unique_ptr<GradientEngine> make_onednn_engine(FlatParameters& parameters, Precision precision);

}  // namespace tessera
