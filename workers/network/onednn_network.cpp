#include "workers/network/onednn_network.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <list>

#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network.h"
#include "workers/network/network_weights.h"
#include "workers/network/onednn_steps.h"

namespace tessera {
namespace {

using dnnl::memory;
using onednn::Pointers;
using onednn::Where;

/// The forward pass for one input shape, ready to run.
struct Program {
  std::int64_t height = 0, width = 0, out_height = 0, out_width = 0;
  ForwardPlan plan;
  std::unique_ptr<onednn::Steps> steps;
};

class OneDnnNetwork : public TileNetwork {
 public:
  OneDnnNetwork(const Network& network, Precision precision)
      : network_(network.description()), precision_(precision), weights_(fold_weights(network)) {
    const std::int64_t side = geometry_of(network_).input_side_for(1);
    try {
      program_for(side, side);
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
      throw UsageError(fmt::format("this processor cannot compute in {} ({}): set infer.precision: float32",
                                   name_of(precision), error.what()));
    }
  }

  std::string text() const override {
    const dnnl_version_t* version = dnnl::version();
    return fmt::format("oneDNN {}.{}, {}", version->major, version->minor, name_of(precision_));
  }

  at::Tensor logits(const at::Tensor& input) override {
    return named_out_of_memory(input, [&] {
      return onednn::checked(fmt::format("on an input of {} x {} pixels", input.size(2), input.size(3)),
                             [&] { return run(input); });
    });
  }

 private:
  memory::data_type type() const {
    return precision_ == Precision::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  }
  std::int64_t value_bytes() const { return precision_ == Precision::bfloat16 ? 2 : 4; }

  at::Tensor run(const at::Tensor& input) {
    const at::Tensor x = input.to(precision_ == Precision::bfloat16 ? at::kBFloat16 : at::kFloat)
                             .contiguous(at::MemoryFormat::ChannelsLast);
    const Program& program = program_for(x.size(2), x.size(3));
    at::Tensor out = at::empty({1, network_.classes(), program.out_height, program.out_width},
                               at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
    program.steps->run({arena_.require(program.steps->arena_bytes()), static_cast<std::byte*>(x.data_ptr()),
                        static_cast<std::byte*>(out.data_ptr()), nullptr},
                       between_layers_);
    return out;
  }

  const Program& program_for(std::int64_t height, std::int64_t width) {
    constexpr std::size_t kMaxPrograms = 16;  // edge blocks have other shapes
    for (auto it = programs_.begin(); it != programs_.end(); ++it) {
      if (it->height == height && it->width == width) {
        programs_.splice(programs_.begin(), programs_, it);
        return programs_.front();
      }
    }
    if (programs_.size() >= kMaxPrograms) programs_.pop_back();
    programs_.push_front(make_program(height, width));
    return programs_.front();
  }

  Program make_program(std::int64_t height, std::int64_t width) {
    Program program{height, width, 0, 0, plan_forward(network_, height, width, value_bytes()), nullptr};
    program.steps = std::make_unique<onednn::Steps>(engine_, stream_, program.plan.bytes);
    for (const ForwardStep& step : program.plan.steps)
      add_step(program, step);
    program.out_height = program.plan.steps.back().out_height;
    program.out_width = program.plan.steps.back().out_width;
    return program;
  }

  void add_step(Program& program, const ForwardStep& step) {
    switch (step.kind) {
      case ForwardStep::Kind::convolution:
        return add_convolution(program, step, {step.padding, step.padding}, {step.padding, step.padding},
                               true, type());
      case ForwardStep::Kind::spread: {
        const std::int64_t before = weights_.of(step.layer).weight.size(2) - 1;
        return add_convolution(program, step, {before, before}, {0, 0}, false, type());
      }
      case ForwardStep::Kind::to_classes:
        return add_convolution(program, step, {0, 0}, {0, 0}, false, memory::data_type::f32);
      case ForwardStep::Kind::pooling:
        return add_pooling(program, step);
      case ForwardStep::Kind::crop:
        return add_crop(program, step);
      case ForwardStep::Kind::shuffle:
        return add_shuffle(program, step);
    }
  }

  void add_convolution(Program& program, const ForwardStep& step, const memory::dims& pad_begin,
                       const memory::dims& pad_end, bool relu, memory::data_type out_type) {
    const FoldedWeights::Layer& layer = weights_.of(step.layer);
    const onednn::ConvolutionShape shape{
        {1, step.in_channels, step.in_height, step.in_width},
        {layer.weight.size(0), layer.weight.size(1), layer.weight.size(2), layer.weight.size(3)},
        {1, step.out_channels, step.out_height, step.out_width},
        pad_begin,
        pad_end};
    const auto description = onednn::convolution(engine_, shape, type(), out_type, relu);
    program.steps->add<dnnl::convolution_forward>(
        description,
        {{DNNL_ARG_SRC, description.src_desc(), place(program, step.in)},
         {DNNL_ARG_DST, description.dst_desc(), place(program, step.out)}},
        {{DNNL_ARG_WEIGHTS, packed(layer.weight, description.weights_desc())},
         {DNNL_ARG_BIAS, memory(description.bias_desc(), engine_, layer.bias.data_ptr())}});
  }

  void add_pooling(Program& program, const ForwardStep& step) {
    const auto description = onednn::pooling(engine_, {1, step.in_channels, step.in_height, step.in_width},
                                             {1, step.out_channels, step.out_height, step.out_width}, type());
    program.steps->add<dnnl::pooling_forward>(
        description,
        {{DNNL_ARG_SRC, description.src_desc(), place(program, step.in)},
         {DNNL_ARG_DST, description.dst_desc(), place(program, step.out)}},
        {});
  }

  /// The address of a buffer. Primitives do not write to a source, so the input may be non-const.
  static Where place(const Program& program, int buffer) {
    if (buffer == kInput) return {&Pointers::input, 0};
    if (buffer == kOutput) return {&Pointers::output, 0};
    return {&Pointers::arena, program.plan.buffers[static_cast<std::size_t>(buffer)].offset};
  }

  void add_crop(Program& program, const ForwardStep& step) {
    const Where from = place(program, step.in), to = place(program, step.out);
    const std::int64_t run = step.in_channels * value_bytes(), pixel = step.out_channels * value_bytes();
    program.steps->add([=](const Pointers& pointers) {
      onednn::copy_crop(from.in(pointers), step.in_height, step.in_width, run, to.in(pointers),
                        step.out_height, step.out_width, pixel);
    });
  }

  void add_shuffle(Program& program, const ForwardStep& step) {
    const Where from = place(program, step.in);
    const std::int64_t run = step.in_channels / 4 * value_bytes(), pixel = step.out_channels * value_bytes();
    Where to = place(program, step.out);
    to.offset += run;  // after the cropped half
    program.steps->add([=](const Pointers& pointers) {
      onednn::copy_shuffle(from.in(pointers), step.in_height, step.in_width, run, to.in(pointers), pixel,
                           false);
    });
  }

  /// The weights in the layout that a primitive requires, packed once for all programs.
  memory packed(const at::Tensor& weight, const memory::desc& wanted) {
    for (const auto& [source, held] : packed_) {
      if (source == weight.data_ptr() && held.get_desc() == wanted) return held;
    }
    const memory::dims dims{weight.size(0), weight.size(1), weight.size(2), weight.size(3)};
    memory plain({dims, memory::data_type::f32, memory::format_tag::oihw}, engine_, weight.data_ptr());
    memory held(wanted, engine_);
    dnnl::reorder(plain, held).execute(stream_, plain, held);
    stream_.wait();
    packed_.emplace_back(weight.data_ptr(), held);
    return held;
  }

  NetworkDescription network_;
  Precision precision_;
  FoldedWeights weights_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::vector<std::pair<const void*, memory>> packed_;
  std::list<Program> programs_;  // most recently used first
  onednn::Arena arena_;
};

}  // namespace

bool onednn_supports(const NetworkDescription& network, Precision precision) {
  return precision != Precision::float16 && can_plan_forward(network);
}

std::unique_ptr<TileNetwork> make_onednn_network(const Network& network, Precision precision) {
  return std::make_unique<OneDnnNetwork>(network, precision);
}

}  // namespace tessera
