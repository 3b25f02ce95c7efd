#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <span>
#include <string>

#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/onednn_weights.h"
#include "workers/network/forward_plan.h"
#include "workers/network/onednn_steps.h"

namespace tessera {

/// The engine of make_onednn_engine: both passes as lists of oneDNN's primitives and of loops between them,
/// built once per input shape.
class OneDnnEngine : public GradientEngine {
 public:
  /// Errors: UsageError for a precision that the processor lacks.
  OneDnnEngine(FlatParameters& parameters, Precision precision);

  using GradientEngine::forward;
  std::string text() const override;
  at::Tensor forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) override;
  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override;
  void parameters_changed() override { weights_.changed(); }

 private:
  using memory = dnnl::memory;
  using Layer = onednn::LayerWeights::Layer;
  using Where = onednn::Where;

  memory::data_type type() const {
    return precision_ == Precision::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  }
  at::ScalarType torch_type() const { return precision_ == Precision::bfloat16 ? at::kBFloat16 : at::kFloat; }
  std::int64_t value_bytes() const { return precision_ == Precision::bfloat16 ? 2 : 4; }

  void build(std::int64_t height, std::int64_t width);
  Where place(int buffer) const;
  Where gradient_place(int buffer) const;
  Layer& layer_of(const ForwardStep& step) { return weights_.layer(step.layer); }
  onednn::ConvolutionShape shape_of(const ForwardStep& step) const;
  /// The factor of the gradient of a pixel that dropout kept; 1 without dropout.
  float dropout_scale(bool dropped) const {
    return dropped ? static_cast<float>(1 / (1 - plan_.dropout)) : 1;
  }

  // The forward pass.
  void add_forward(const ForwardStep& step);
  void add_convolution(const ForwardStep& step, bool relu, memory::data_type out_type);
  void add_dropout(const ForwardStep& step);
  /// In both passes; `back`: from the image to the spread channels.
  void add_shuffle(onednn::Steps& steps, Where spread, Where image, const ForwardStep& step, bool back);

  // The backward pass.
  void add_backward(const BackwardStep& step);
  void add_join(const BackwardStep& step);
  void add_rectify(const BackwardStep& step);
  bool rearranges(const ForwardStep& step) const;
  memory add_rearrangement(const memory::dims& dims, Where from, const memory::desc& layout,
                           at::Tensor& buffer);
  void add_weight_gradient(const BackwardStep& step);
  void add_to_sums(const BackwardStep& step, const memory& weight, const at::Tensor& bias);
  void add_input_gradient(const BackwardStep& step);

  NetworkDescription network_;
  Precision precision_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  onednn::LayerWeights weights_;
  std::int64_t height_ = 0, width_ = 0;  ///< of the input that the passes are built for; 0: of none
  std::int64_t arena_bytes_ = 0;
  std::int64_t largest_gradient_ = 0;  ///< values of the largest layer's weight gradient
  GradientPlan plan_;
  std::unique_ptr<onednn::Steps> forward_, backward_;
  onednn::Arena arena_;
  at::Tensor input_, weight_gradient_, image_, image_gradient_;
  at::Generator generator_;
  const GradientReady* ready_ = nullptr;
};

}  // namespace tessera
