#include "workers/network/onednn_network.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <functional>
#include <list>
#include <map>
#include <unordered_map>

#include "io/box.h"
#include "io/error.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network_weights.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;

/// One piece of page-aligned memory that only grows.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { std::free(data_); }

  std::byte* require(std::int64_t bytes) {
    if (bytes <= bytes_) return data_;
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
    const auto rounded = static_cast<std::size_t>(round_up(bytes, static_cast<std::int64_t>(kHugePage)));
    data_ = static_cast<std::byte*>(std::aligned_alloc(kHugePage, rounded));
    if (data_ == nullptr) throw std::bad_alloc();
    ::madvise(data_, rounded, MADV_HUGEPAGE);  // fewer misses of the address cache; without it, only slower
    bytes_ = static_cast<std::int64_t>(rounded);
    return data_;
  }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// Copies `pixels` runs of `Bytes` bytes (0: `bytes`) from one stride to another.
template <int Bytes>
void copy_runs(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride,
               std::int64_t pixels, std::int64_t bytes) {
  for (std::int64_t i = 0; i < pixels; ++i) {
    std::memcpy(to + i * to_stride, from + i * from_stride,
                static_cast<std::size_t>(Bytes > 0 ? Bytes : bytes));
  }
}

/// The copy for runs of so many bytes: of a constant number the compiler makes a few moves.
auto copier(std::int64_t bytes) {
  switch (bytes) {
    case 16:
      return &copy_runs<16>;
    case 32:
      return &copy_runs<32>;
    case 64:
      return &copy_runs<64>;
    case 128:
      return &copy_runs<128>;
    case 256:
      return &copy_runs<256>;
    default:
      return &copy_runs<0>;
  }
}

dnnl::primitive_attr attributes(bool relu) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (relu) {
    dnnl::post_ops after;
#if DNNL_VERSION_MAJOR >= 3
    after.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
    after.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
    attr.set_post_ops(after);
  }
  return attr;
}

struct ConvolutionShape {
  memory::dims in, weight, bias, out, pad_begin, pad_end;
};

dnnl::convolution_forward::primitive_desc convolution(const dnnl::engine& engine,
                                                      const ConvolutionShape& shape, memory::data_type type,
                                                      memory::data_type out_type, bool relu) {
  const memory::desc in(shape.in, type, memory::format_tag::nhwc),
      weight(shape.weight, type, memory::format_tag::any),
      bias(shape.bias, memory::data_type::f32, memory::format_tag::x),
      out(shape.out, out_type, memory::format_tag::nhwc);
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine,          kind,          algorithm,       in, weight, bias, out, {1, 1},
          shape.pad_begin, shape.pad_end, attributes(relu)};
#else
  return {{kind, algorithm, in, weight, bias, out, {1, 1}, shape.pad_begin, shape.pad_end},
          attributes(relu),
          engine};
#endif
}

dnnl::pooling_forward::primitive_desc pooling(const dnnl::engine& engine, const memory::dims& in_dims,
                                              const memory::dims& out_dims, memory::data_type type) {
  const memory::desc in(in_dims, type, memory::format_tag::nhwc),
      out(out_dims, type, memory::format_tag::nhwc);
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::pooling_max;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kind, algorithm, in, out, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {0, 0}, attributes(false)};
#else
  return {{kind, algorithm, in, out, {2, 2}, {2, 2}, {0, 0}, {0, 0}}, attributes(false), engine};
#endif
}

/// The forward pass for one input shape, ready to run.
struct Program {
  std::int64_t height = 0, width = 0, out_height = 0, out_width = 0;
  ForwardPlan plan;
  std::int64_t scratch_bytes = 0;
  std::vector<std::function<void(std::byte* arena, const void* input, void* output)>> steps;

  std::int64_t arena_bytes() const { return plan.bytes + scratch_bytes; }
};

class OneDnnNetwork : public TileNetwork {
 public:
  OneDnnNetwork(const UNetImpl& network, Precision precision)
      : options_(network.options()), precision_(precision), weights_(fold_weights(network)) {
    const std::int64_t side = geometry_of(options_).input_side_for(1);
    try {
      program_for(side, side);
    } catch (const dnnl::error& error) {
      throw UsageError(fmt::format("this processor cannot compute in {} ({}): set infer.precision: float32", name_of(precision),
                                   error.what()));
    }
  }

  std::string text() const override {
    const dnnl_version_t* version = dnnl::version();
    return fmt::format("oneDNN {}.{}, {}", version->major, version->minor, name_of(precision_));
  }

  at::Tensor logits(const at::Tensor& input) override {
    try {
      return run(input);
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_out_of_memory) throw OutOfMemory("oneDNN ran out of memory");
      throw Error(fmt::format("oneDNN failed on an input of {} x {} pixels: {}", input.size(2), input.size(3),
                              error.what()));
    } catch (const std::bad_alloc&) {
      throw OutOfMemory(fmt::format("no memory for the activations of an input of {} x {} pixels",
                                    input.size(2), input.size(3)));
    }
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
    at::Tensor out = at::empty({1, options_.classes, program.out_height, program.out_width},
                               at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
    std::byte* arena = arena_.require(program.arena_bytes());
    for (const auto& step : program.steps)
      step(arena, x.data_ptr(), out.data_ptr());
    stream_.wait();
    return out;
  }

  const Program& program_for(std::int64_t height, std::int64_t width) {
    constexpr std::size_t kKept = 16;  // edge blocks have shapes of their own
    for (auto it = programs_.begin(); it != programs_.end(); ++it) {
      if (it->height == height && it->width == width) {
        programs_.splice(programs_.begin(), programs_, it);
        return programs_.front();
      }
    }
    if (programs_.size() >= kKept) programs_.pop_back();
    programs_.push_front(make_program(height, width));
    return programs_.front();
  }

  Program make_program(std::int64_t height, std::int64_t width) {
    Program program{height, width, 0, 0, plan_forward(options_, height, width, value_bytes()), 0, {}};
    for (const ForwardStep& step : program.plan.steps)
      add_step(program, step);
    program.out_height = program.plan.steps.back().out_height;
    program.out_width = program.plan.steps.back().out_width;
    return program;
  }

  void add_step(Program& program, const ForwardStep& step) {
    switch (step.kind) {
      case ForwardStep::Kind::convolution: {
        const std::int64_t pad = options_.padding == Padding::same ? 1 : 0;
        return add_convolution(program, step, weights_.convolutions[static_cast<std::size_t>(step.layer)],
                               {pad, pad}, {pad, pad}, true, type());
      }
      case ForwardStep::Kind::spread: {
        const auto& layer = weights_.spreads[static_cast<std::size_t>(step.layer)];
        const std::int64_t before = layer.weight.size(2) - 1;
        return add_convolution(program, step, layer, {before, before}, {0, 0}, false, type());
      }
      case ForwardStep::Kind::to_classes:
        return add_convolution(program, step, weights_.to_classes, {0, 0}, {0, 0}, false,
                               memory::data_type::f32);
      case ForwardStep::Kind::pooling:
        return add_pooling(program, step);
      case ForwardStep::Kind::crop:
        return add_crop(program, step);
      case ForwardStep::Kind::shuffle:
        return add_shuffle(program, step);
    }
  }

  void add_convolution(Program& program, const ForwardStep& step, const FoldedWeights::Layer& layer,
                       const memory::dims& pad_begin, const memory::dims& pad_end, bool relu,
                       memory::data_type out_type) {
    const ConvolutionShape shape{
        {1, step.in_channels, step.in_height, step.in_width},
        {layer.weight.size(0), layer.weight.size(1), layer.weight.size(2), layer.weight.size(3)},
        {layer.bias.size(0)},
        {1, step.out_channels, step.out_height, step.out_width},
        pad_begin,
        pad_end};
    const auto description = convolution(engine_, shape, type(), out_type, relu);
    Arguments arguments{{DNNL_ARG_WEIGHTS, packed(layer.weight, description.weights_desc())},
                        {DNNL_ARG_BIAS, memory(description.bias_desc(), engine_, layer.bias.data_ptr())}};
    add_primitive(program, step, dnnl::convolution_forward(description), description, std::move(arguments));
  }

  void add_pooling(Program& program, const ForwardStep& step) {
    const auto description = pooling(engine_, {1, step.in_channels, step.in_height, step.in_width},
                                     {1, step.out_channels, step.out_height, step.out_width}, type());
    add_primitive(program, step, dnnl::pooling_forward(description), description, {});
  }

  template <class Description>
  void add_primitive(Program& program, const ForwardStep& step, const dnnl::primitive& primitive,
                     const Description& description, Arguments arguments) {
    memory in(description.src_desc(), engine_, DNNL_MEMORY_NONE),
        out(description.dst_desc(), engine_, DNNL_MEMORY_NONE),
        scratch(description.scratchpad_desc(), engine_, DNNL_MEMORY_NONE);
    arguments.insert({{DNNL_ARG_SRC, in}, {DNNL_ARG_DST, out}, {DNNL_ARG_SCRATCHPAD, scratch}});
    program.scratch_bytes =
        std::max(program.scratch_bytes, static_cast<std::int64_t>(description.scratchpad_desc().get_size()));
    const std::int64_t scratch_at = program.plan.bytes;
    const auto from = place(program, step.in), to = place(program, step.out);
    program.steps.emplace_back([=, this](std::byte* arena, const void* input, void* output) mutable {
      in.set_data_handle(step.in == kInput ? const_cast<void*>(input)
                                           : arena + from);  // primitives write to no source
      out.set_data_handle(step.out == kOutput ? output : arena + to);
      scratch.set_data_handle(arena + scratch_at);
      primitive.execute(stream_, arguments);
    });
  }

  static std::int64_t place(const Program& program, int buffer) {
    return buffer < 0 ? 0 : program.plan.buffers[static_cast<std::size_t>(buffer)].offset;
  }

  void add_crop(Program& program, const ForwardStep& step) {
    const auto from = place(program, step.in), to = place(program, step.out);
    const std::int64_t run = step.in_channels * value_bytes(), out_pixel = step.out_channels * value_bytes();
    const std::int64_t top = (step.in_height - step.out_height) / 2,
                       left = (step.in_width - step.out_width) / 2;
    const auto copy = copier(run);
    program.steps.emplace_back([=](std::byte* arena, const void*, void*) {
      at::parallel_for(0, step.out_height, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t y = begin; y < end; ++y) {
          copy(arena + to + y * step.out_width * out_pixel, out_pixel,
               arena + from + ((y + top) * step.in_width + left) * run, run, step.out_width, run);
        }
      });
    });
  }

  void add_shuffle(Program& program, const ForwardStep& step) {
    const auto from = place(program, step.in), to = place(program, step.out);
    const std::int64_t run = step.in_channels / 4 * value_bytes(),
                       out_pixel = step.out_channels * value_bytes();
    const auto copy = copier(run);
    program.steps.emplace_back([=](std::byte* arena, const void*, void*) {
      at::parallel_for(0, step.out_height, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t y = begin; y < end; ++y) {
          for (std::int64_t dx = 0; dx < 2; ++dx) {
            copy(arena + to + (y * step.out_width + dx) * out_pixel + run, 2 * out_pixel,
                 arena + from + (y / 2) * step.in_width * 4 * run + (2 * (y % 2) + dx) * run, 4 * run,
                 step.in_width, run);
          }
        }
      });
    });
  }

  /// The weights in the layout that a primitive asks for, packed once for all programs.
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

  UNetOptions options_;
  Precision precision_;
  FoldedWeights weights_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::vector<std::pair<const void*, memory>> packed_;
  std::list<Program> programs_;  // the most recently used first
  Arena arena_;
};

}  // namespace

std::unique_ptr<TileNetwork> make_onednn_network(const UNetImpl& network, Precision precision) {
  return std::make_unique<OneDnnNetwork>(network, precision);
}

}  // namespace tessera
