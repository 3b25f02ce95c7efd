#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <type_traits>

#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/gradient_kernels.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network.h"
#include "workers/network/onednn_steps.h"

namespace tessera {
namespace {

using dnnl::memory;
using onednn::Pointers;
using onednn::Where;

/// A layer's weights in the primitives' layouts, renewed whenever the parameters have changed.
struct Layer {
  at::Tensor weight, bias;  ///< float32: (out, in, k, k) of the plain convolution, (out)
  at::Tensor rotated;       ///< float32 (in, out, k, k): for the gradient by the input; may be undefined
  memory packed, packed_rotated;     ///< in the engine's type
  std::int64_t gradients_final = 0;  ///< values of the flat gradient that are final once this layer is done
  std::string name;
  bool is_up = false;  ///< an up-convolution
};

class OneDnnEngine : public GradientEngine {
 public:
  OneDnnEngine(FlatParameters& parameters, Precision precision)
      : parameters_(parameters), network_(parameters.network().description()), precision_(precision) {
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      if (!network_.layers[i].name.empty()) add_layer(static_cast<int>(i));
    }
    const std::int64_t side = geometry_of(network_).input_side_for(1);
    try {
      build(side, side);
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
      throw UsageError(fmt::format("this processor cannot train in {} ({}): set train.precision: float32",
                                   name_of(precision_), error.what()));
    }
  }

  using GradientEngine::forward;
  std::string text() const override {
    const dnnl_version_t* version = dnnl::version();
    return fmt::format("oneDNN {}.{}, {}", version->major, version->minor, name_of(precision_));
  }

  at::Tensor forward(const at::Tensor& input, std::span<const std::uint64_t> dropout_seeds) override {
    return checked(input, "in the forward pass of a training sample", [&] {
      const at::NoGradGuard no_grad;
      input_ = input.to(torch_type()).contiguous(at::MemoryFormat::ChannelsLast);
      build(input_.size(2), input_.size(3));
      generator_ = at::make_generator<at::CPUGeneratorImpl>(dropout_seeds.front());
      const ForwardStep& last = plan_.forward.back();
      at::Tensor logits =
          at::empty({1, network_.classes(), last.out_height, last.out_width},
                    at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
      forward_->run({arena_.require(arena_bytes_), bytes_of(input_), bytes_of(logits), nullptr});
      return logits;
    });
  }

  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override {
    checked(input_, "in the backward pass of a training sample", [&] {
      const at::NoGradGuard no_grad;
      const at::Tensor gradient = logits_gradient.to(torch_type()).contiguous(at::MemoryFormat::ChannelsLast);
      ready_ = &ready;
      backward_->run({arena_.require(arena_bytes_), bytes_of(input_), nullptr, bytes_of(gradient)});
      ready_ = nullptr;
    });
  }

  void parameters_changed() override { packed_ = false; }

 private:
  memory::data_type type() const {
    return precision_ == Precision::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  }
  at::ScalarType torch_type() const { return precision_ == Precision::bfloat16 ? at::kBFloat16 : at::kFloat; }
  std::int64_t value_bytes() const { return precision_ == Precision::bfloat16 ? 2 : 4; }
  static std::byte* bytes_of(const at::Tensor& tensor) { return static_cast<std::byte*>(tensor.data_ptr()); }

  template <class Pass>
  static std::invoke_result_t<Pass> checked(const at::Tensor& input, const char* where, const Pass& pass) {
    return named_out_of_memory(input, [&] { return onednn::checked(where, pass); });
  }

  void add_layer(int number) {
    const LayerDescription& described = network_.layers[static_cast<std::size_t>(number)];
    Layer& layer = layers_[number];
    layer.name = described.name;
    layer.is_up = described.kind == LayerDescription::Kind::up_convolution;
    const auto& bias = parameters_.entry(layer.name + ".bias");
    layer.gradients_final = bias.begin + bias.count();
  }

  at::Tensor value(const Layer& layer, const char* part) {
    return FlatParameters::piece(parameters_.values(), parameters_.entry(layer.name + part));
  }
  at::Tensor gradient(const Layer& layer, const char* part) {
    return FlatParameters::piece(parameters_.sums(), parameters_.entry(layer.name + part));
  }

  // --- weights -------------------------------------------------------------------------------------------

  /// Plain convolutions read the parameters where they are; an up-convolution is a 1x1 convolution to four
  /// times the channels, of which (2 dy + dx) * filters + f is channel f of the output pixel (dy, dx).
  void read_parameters() {
    for (auto& [number, layer] : layers_) {
      if (layer.is_up) {
        const at::Tensor weight = value(layer, ".weight");
        const std::int64_t in = weight.size(0), out = 4 * weight.size(1);
        layer.weight = weight.permute({2, 3, 1, 0}).reshape({out, in, 1, 1}).contiguous();
        layer.bias.copy_(value(layer, ".bias").repeat({4}));
        layer.rotated.copy_(layer.weight.transpose(0, 1));
        continue;
      }
      layer.weight = value(layer, ".weight");
      layer.bias = value(layer, ".bias");
      if (layer.rotated.defined()) {
        rotate_kernels(layer.weight.data_ptr<float>(), layer.weight.size(0), layer.weight.size(1),
                       layer.weight.size(2), layer.rotated.data_ptr<float>());
      }
    }
  }

  void pack_all() {
    if (packed_) return;
    read_parameters();
    for (auto& [number, layer] : layers_) {
      pack(layer.weight, layer.packed);
      if (layer.rotated.defined()) pack(layer.rotated, layer.packed_rotated);
    }
    stream_.wait();
    packed_ = true;
  }

  memory plain(const at::Tensor& weight) {
    const memory::dims dims{weight.size(0), weight.size(1), weight.size(2), weight.size(3)};
    return memory({dims, memory::data_type::f32, memory::format_tag::oihw}, engine_, weight.data_ptr());
  }
  void pack(const at::Tensor& weight, memory& packed) {
    memory from = plain(weight);
    dnnl::reorder(from, packed).execute(stream_, from, packed);
  }

  // --- building the passes -------------------------------------------------------------------------------

  void build(std::int64_t height, std::int64_t width) {
    if (height == height_ && width == width_) return pack_all();
    height_ = width_ = 0;  // until all is built: memory may run out
    plan_ = plan_gradient(network_, height, width, value_bytes());
    forward_ = std::make_unique<onednn::Steps>(engine_, stream_, plan_.bytes);
    backward_ = std::make_unique<onednn::Steps>(engine_, stream_, plan_.bytes);
    for (auto& [number, layer] : layers_) {
      layer.bias = value(layer, ".bias");
      if (layer.is_up) layer.bias = at::empty({4 * layer.bias.numel()}, at::kFloat);
    }
    largest_gradient_ = 0;
    for (std::size_t i = 0; i < plan_.forward.size(); ++i) {
      add_forward(plan_.forward[i]);
      if (plan_.drop_after[i]) add_dropout(plan_.forward[i]);
    }
    for (const BackwardStep& step : plan_.backward)
      add_backward(step);
    weight_gradient_ = at::empty({largest_gradient_}, at::kFloat);
    arena_bytes_ = std::max(forward_->arena_bytes(), backward_->arena_bytes());
    packed_ = false;
    pack_all();
    height_ = height;
    width_ = width;
  }

  Where place(int buffer) const {
    if (buffer == kInput) return {&Pointers::input, 0};
    if (buffer == kOutput) return {&Pointers::output, 0};
    return {&Pointers::arena, plan_.buffers[static_cast<std::size_t>(buffer)].offset};
  }
  Where gradient_place(int buffer) const {
    return buffer == kOutput ? Where{&Pointers::output_gradient, 0} : place(buffer);
  }

  Layer& layer_of(const ForwardStep& step) { return layers_.at(step.layer); }
  onednn::ConvolutionShape shape_of(const ForwardStep& step) const {
    const std::int64_t side = step.kind == ForwardStep::Kind::convolution ? 3 : 1, pad = step.padding;
    return {{1, step.in_channels, step.in_height, step.in_width},
            {step.out_channels, step.in_channels, side, side},
            {1, step.out_channels, step.out_height, step.out_width},
            {pad, pad},
            {pad, pad}};
  }

  void add_forward(const ForwardStep& step) {
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

  void add_shuffle(onednn::Steps& steps, Where spread, Where image, const ForwardStep& step, bool back) {
    const std::int64_t run = step.in_channels / 4 * value_bytes(), pixel = step.out_channels * value_bytes();
    image.offset += run;  // behind the copied half
    steps.add([=](const Pointers& p) {
      onednn::copy_shuffle(spread.in(p), step.in_height, step.in_width, run, image.in(p), pixel, back);
    });
  }

  void add_convolution(const ForwardStep& step, bool relu, memory::data_type out_type) {
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

  void add_dropout(const ForwardStep& step) {
    const Where at = place(step.out);
    forward_->add([=, this](const Pointers& p) {
      stream_.wait();
      const auto type = at::TensorOptions(torch_type());
      at::Tensor image =
          at::from_blob(at.in(p), {1, step.out_height, step.out_width, step.out_channels}, type)
              .permute({0, 3, 1, 2});
      const double kept = 1 - plan_.dropout;
      at::Tensor noise = at::empty(
          image.sizes(), at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
      noise.bernoulli_(kept, generator_).div_(kept);
      image.mul_(noise.to(torch_type()));
    });
  }

  float dropout_scale(bool dropped) const {
    return dropped ? static_cast<float>(1 / (1 - plan_.dropout)) : 1;
  }

  void add_backward(const BackwardStep& step) {
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
        return add_shuffle(*backward_, place(step.input_gradient), place(step.output_gradient), forward,
                           true);
      case BackwardStep::Kind::join: {
        const Where image = place(forward.in), pooled = place(forward.out),
                    pooled_gradient = place(step.output_gradient), crop = place(step.crop_gradient),
                    result = place(step.input_gradient);
        return backward_->add([=, this](const Pointers& p) {
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
    }
  }

  void add_rectify(const BackwardStep& step) {
    const Where image = place(step.forward.out), gradient_at = gradient_place(step.output_gradient);
    const ImageShape shape{step.forward.out_height, step.forward.out_width, step.forward.out_channels};
    const float scale = dropout_scale(step.dropped);
    backward_->add([=, this](const Pointers& p) {
      rectify_gradient(precision_, image.in(p), gradient_at.in(p), shape, scale);
    });
  }

  /// Whether a layer's images are copied into oneDNN's own layout for the gradient of its weights: with many
  /// channels in float32 that costs less than it gains (docs/performance.md).
  bool rearranges(const ForwardStep& step) const {
    constexpr std::int64_t kMany = 256;
    return precision_ == Precision::float32 && step.kind == ForwardStep::Kind::convolution &&
           step.in_channels >= kMany && step.out_channels >= kMany;
  }

  /// The image at `from`, (y, x, channels), in another layout, in memory that `buffer` will be.
  memory add_rearrangement(const memory::dims& dims, Where from, const memory::desc& layout,
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
  void add_weight_gradient(const BackwardStep& step) {
    const bool rearranged = rearranges(step.forward);
    const auto description = onednn::weight_gradient(engine_, shape_of(step.forward), type(), rearranged);
    const auto bytes = static_cast<std::int64_t>(description.diff_weights_desc().get_size());
    largest_gradient_ = std::max(largest_gradient_, (bytes + 3) / 4);
    const at::Tensor bias = at::empty({step.forward.out_channels}, at::kFloat);
    memory weight(description.diff_weights_desc(), engine_, DNNL_MEMORY_NONE);
    backward_->add(
        [=, this](const Pointers&) mutable { weight.set_data_handle(weight_gradient_.data_ptr()); });
    const memory bias_gradient(description.diff_bias_desc(), engine_, bias.data_ptr());
    if (rearranged) {
      const onednn::ConvolutionShape shape = shape_of(step.forward);
      const memory image =
                       add_rearrangement(shape.in, place(step.forward.in), description.src_desc(), image_),
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
    const Layer& layer = layer_of(step.forward);
    const bool up = step.kind == BackwardStep::Kind::spread;
    at::Tensor to_weight = gradient(layer, ".weight"), to_bias = gradient(layer, ".bias");
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
        dnnl::reorder::primitive_desc(engine_, description.diff_weights_desc(), engine_, rows, attributes));
    backward_->add([=, this](const Pointers&) mutable {
      reorder.execute(stream_, weight, target);
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
  void add_input_gradient(const BackwardStep& step) {
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

  FlatParameters& parameters_;
  NetworkDescription network_;
  Precision precision_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<int, Layer> layers_;  ///< by their number in the description
  std::int64_t height_ = 0, width_ = 0, arena_bytes_ = 0, largest_gradient_ = 0;
  GradientPlan plan_;
  std::unique_ptr<onednn::Steps> forward_, backward_;
  onednn::Arena arena_;
  at::Tensor input_, weight_gradient_, image_, image_gradient_;
  at::Generator generator_;
  bool packed_ = false;
  const GradientReady* ready_ = nullptr;
};

}  // namespace

std::unique_ptr<GradientEngine> make_onednn_engine(FlatParameters& parameters, Precision precision) {
  return std::make_unique<OneDnnEngine>(parameters, precision);
}

}  // namespace tessera
