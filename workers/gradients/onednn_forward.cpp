// The steps of the forward pass.

#include <ATen/Functions.h>

#include "workers/gradients/onednn_engine.h"

namespace tessera {

using onednn::Pointers;

void OneDnnEngine::add_forward(const ForwardStep& step) {
  switch (step.kind) {
    case ForwardStep::Kind::convolution:
      return add_convolution(step, true, type());
    case ForwardStep::Kind::spread:
      return add_convolution(step, false, type());
    case ForwardStep::Kind::to_classes:
      return add_convolution(step, false, memory::data_type::f32);
    case ForwardStep::Kind::pooling: {
      const auto description =
          onednn::pooling(engine_, {1, step.in_channels, step.in_height, step.in_width},
                          {1, step.out_channels, step.out_height, step.out_width}, type());
      return forward_->add<dnnl::pooling_forward>(description,
                                                  {{DNNL_ARG_SRC, description.src_desc(), place(step.in)},
                                                   {DNNL_ARG_DST, description.dst_desc(), place(step.out)}},
                                                  {});
    }
    case ForwardStep::Kind::crop: {
      const Where from = place(step.in), to = place(step.out);
      const std::int64_t run = step.in_channels * value_bytes(), pixel = step.out_channels * value_bytes();
      return forward_->add([=](const Pointers& p) {
        onednn::copy_crop(from.in(p), step.in_height, step.in_width, run, to.in(p), step.out_height,
                          step.out_width, pixel);
      });
    }
    case ForwardStep::Kind::shuffle:
      return add_shuffle(*forward_, place(step.in), place(step.out), step, false);
  }
}

void OneDnnEngine::add_shuffle(onednn::Steps& steps, Where spread, Where image, const ForwardStep& step,
                               bool back) {
  const std::int64_t run = step.in_channels / 4 * value_bytes(), pixel = step.out_channels * value_bytes();
  image.offset += run;  // behind the copied half
  steps.add([=](const Pointers& p) {
    onednn::copy_shuffle(spread.in(p), step.in_height, step.in_width, run, image.in(p), pixel, back);
  });
}

void OneDnnEngine::add_convolution(const ForwardStep& step, bool relu, memory::data_type out_type) {
  const auto description = onednn::convolution(engine_, shape_of(step), type(), out_type, relu);
  Layer& layer = layer_of(step);
  layer.packed = memory(description.weights_desc(), engine_);
  forward_->add<dnnl::convolution_forward>(
      description,
      {{DNNL_ARG_SRC, description.src_desc(), place(step.in)},
       {DNNL_ARG_DST, description.dst_desc(), place(step.out)}},
      {{DNNL_ARG_WEIGHTS, layer.packed},
       {DNNL_ARG_BIAS, memory(description.bias_desc(), engine_, layer.bias.data_ptr())}});
}

void OneDnnEngine::add_dropout(const ForwardStep& step) {
  const Where at = place(step.out);
  forward_->add([=, this](const Pointers& p) {
    stream_.wait();
    const auto type = at::TensorOptions(torch_type());
    at::Tensor image = at::from_blob(at.in(p), {1, step.out_height, step.out_width, step.out_channels}, type)
                           .permute({0, 3, 1, 2});
    const double kept = 1 - plan_.dropout;
    at::Tensor noise =
        at::empty(image.sizes(), at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
    noise.bernoulli_(kept, generator_).div_(kept);
    image.mul_(noise.to(torch_type()));
  });
}

}  // namespace tessera
