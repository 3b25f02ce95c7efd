// The steps of the backward pass.

#include <ATen/Functions.h>

#include <algorithm>

#include "workers/gradients/gradient_kernels.h"
#include "workers/gradients/onednn_engine.h"

namespace tessera {

using onednn::Pointers;

void OneDnnEngine::add_backward(const BackwardStep& step) {
  const ForwardStep& forward = step.forward;
  switch (step.kind) {
    case BackwardStep::Kind::to_classes:
    case BackwardStep::Kind::spread:
    case BackwardStep::Kind::convolution:
      if (step.rectify) add_rectify(step);
      add_weight_gradient(step);
      if (step.input_gradient != kInput) add_input_gradient(step);
      return;
    case BackwardStep::Kind::gather:
      return add_shuffle(*backward_, place(step.input_gradient), place(step.output_gradient), forward, true);
    case BackwardStep::Kind::join:
      return add_join(step);
  }
}

void OneDnnEngine::add_join(const BackwardStep& step) {
  const ForwardStep& forward = step.forward;
  const Where image = place(forward.in), pooled = place(forward.out),
              pooled_gradient = place(step.output_gradient), crop = place(step.crop_gradient),
              result = place(step.input_gradient);
  backward_->add([=, this](const Pointers& p) {
    join_gradients(precision_, {.image = image.in(p),
                                .pooled = pooled.in(p),
                                .pooled_gradient = pooled_gradient.in(p),
                                .crop_gradient = crop.in(p),
                                .crop_height = step.crop_height,
                                .crop_width = step.crop_width,
                                .crop_channels = 2 * forward.in_channels,
                                .gradient = result.in(p),
                                .shape = {forward.in_height, forward.in_width, forward.in_channels},
                                .scale = dropout_scale(step.dropped)});
  });
}

void OneDnnEngine::add_rectify(const BackwardStep& step) {
  const Where image = place(step.forward.out), gradient_at = gradient_place(step.output_gradient);
  const ImageShape shape{step.forward.out_height, step.forward.out_width, step.forward.out_channels};
  const float scale = dropout_scale(step.dropped);
  backward_->add([=, this](const Pointers& p) {
    rectify_gradient(precision_, image.in(p), gradient_at.in(p), shape, scale);
  });
}

/// Whether a layer's images are copied into oneDNN's own layout for the gradient of its weights: with many
/// channels in float32 that costs less than it gains (docs/performance.md).
bool OneDnnEngine::rearranges(const ForwardStep& step) const {
  constexpr std::int64_t kMany = 256;
  return precision_ == Precision::float32 && step.kind == ForwardStep::Kind::convolution &&
         step.in_channels >= kMany && step.out_channels >= kMany;
}

/// The image at `from`, (y, x, channels), in another layout, in memory that `buffer` will be.
dnnl::memory OneDnnEngine::add_rearrangement(const memory::dims& dims, Where from, const memory::desc& layout,
                                             at::Tensor& buffer) {
  const memory::desc plain(dims, type(), memory::format_tag::nhwc);
  memory source(plain, engine_, DNNL_MEMORY_NONE), target(layout, engine_, DNNL_MEMORY_NONE);
  const auto values = static_cast<std::int64_t>((layout.get_size() + 3) / 4);
  if (!buffer.defined() || buffer.numel() < values) buffer = at::empty({values}, at::kFloat);
  const dnnl::reorder reorder(dnnl::reorder::primitive_desc(engine_, plain, engine_, layout));
  backward_->add([=, this, &buffer](const Pointers& p) mutable {
    source.set_data_handle(from.in(p));
    target.set_data_handle(buffer.data_ptr());
    reorder.execute(stream_, source, target);
  });
  return target;
}

/// oneDNN writes the layer's gradient in its own layout; then it is added to the flat one.
void OneDnnEngine::add_weight_gradient(const BackwardStep& step) {
  const bool rearranged = rearranges(step.forward);
  const auto description = onednn::weight_gradient(engine_, shape_of(step.forward), type(), rearranged);
  const auto bytes = static_cast<std::int64_t>(description.diff_weights_desc().get_size());
  largest_gradient_ = std::max(largest_gradient_, (bytes + 3) / 4);
  const at::Tensor bias = at::empty({step.forward.out_channels}, at::kFloat);
  memory weight(description.diff_weights_desc(), engine_, DNNL_MEMORY_NONE);
  backward_->add([=, this](const Pointers&) mutable { weight.set_data_handle(weight_gradient_.data_ptr()); });
  const memory bias_gradient(description.diff_bias_desc(), engine_, bias.data_ptr());
  if (rearranged) {
    const onednn::ConvolutionShape shape = shape_of(step.forward);
    const memory image = add_rearrangement(shape.in, place(step.forward.in), description.src_desc(), image_),
                 out = add_rearrangement(shape.out, gradient_place(step.output_gradient),
                                         description.diff_dst_desc(), image_gradient_);
    backward_->add<dnnl::convolution_backward_weights>(description, {},
                                                       {{DNNL_ARG_SRC, image},
                                                        {DNNL_ARG_DIFF_DST, out},
                                                        {DNNL_ARG_DIFF_WEIGHTS, weight},
                                                        {DNNL_ARG_DIFF_BIAS, bias_gradient}});
  } else {
    backward_->add<dnnl::convolution_backward_weights>(
        description,
        {{DNNL_ARG_SRC, description.src_desc(), place(step.forward.in)},
         {DNNL_ARG_DIFF_DST, description.diff_dst_desc(), gradient_place(step.output_gradient)}},
        {{DNNL_ARG_DIFF_WEIGHTS, weight}, {DNNL_ARG_DIFF_BIAS, bias_gradient}});
  }
  add_to_sums(step, weight, bias);
}

/// Adds a layer's gradients, `weight` in oneDNN's layout and `bias`, to the flat sums.
void OneDnnEngine::add_to_sums(const BackwardStep& step, const memory& weight, const at::Tensor& bias) {
  const Layer& layer = layer_of(step.forward);
  const bool up = step.kind == BackwardStep::Kind::spread;
  at::Tensor to_weight = weights_.gradient(layer, ".weight"), to_bias = weights_.gradient(layer, ".bias");
  const memory::dims dims = shape_of(step.forward).weight;
  const memory::desc rows(dims, memory::data_type::f32, memory::format_tag::oihw);
  const std::int64_t gradients_final = layer.gradients_final;
  const at::Tensor spread = up ? at::empty({2, 2, dims[0] / 4, dims[1]}, at::kFloat) : at::Tensor();
  memory target(rows, engine_, up ? spread.data_ptr() : to_weight.data_ptr());
  dnnl::primitive_attr attributes;
  if (!up) {
    dnnl::post_ops after;
    after.append_sum(1);
    attributes.set_post_ops(after);
  }
  const dnnl::reorder reorder(
      dnnl::reorder::primitive_desc(engine_, weight.get_desc(), engine_, rows, attributes));
  backward_->add([=, this](const Pointers&) mutable {
    memory from = weight;
    reorder.execute(stream_, from, target);
    stream_.wait();
    if (up) {
      to_weight.add_(spread.permute({3, 2, 0, 1}));
      to_bias.add_(bias.view({4, -1}).sum(0));
    } else {
      to_bias.add_(bias);
    }
    if (*ready_) (*ready_)(gradients_final);
  });
}

/// As a convolution with rotated kernels: oneDNN's own gradient by the input is slower for deep layers in
/// float32 (docs/performance.md).
void OneDnnEngine::add_input_gradient(const BackwardStep& step) {
  const onednn::ConvolutionShape forward = shape_of(step.forward);
  const std::int64_t side = forward.weight[2], pad = side - 1 - forward.pad_begin[0];
  const onednn::ConvolutionShape shape{
      forward.out, {forward.weight[1], forward.weight[0], side, side}, forward.in, {pad, pad}, {pad, pad}};
  const auto description = onednn::convolution(engine_, shape, type(), type(), false, false);
  Layer& layer = layer_of(step.forward);
  layer.rotated = at::empty({forward.weight[1], forward.weight[0], side, side}, at::kFloat);
  layer.packed_rotated = memory(description.weights_desc(), engine_);
  backward_->add<dnnl::convolution_forward>(
      description,
      {{DNNL_ARG_SRC, description.src_desc(), gradient_place(step.output_gradient)},
       {DNNL_ARG_DST, description.dst_desc(), place(step.input_gradient)}},
      {{DNNL_ARG_WEIGHTS, layer.packed_rotated}});
}

}  // namespace tessera
