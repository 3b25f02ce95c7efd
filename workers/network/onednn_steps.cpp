#include "workers/network/onednn_steps.h"

#include <ATen/Parallel.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "io/geometry/box.h"

namespace tessera::onednn {

using dnnl::memory;

Arena::~Arena() {
  std::free(data_);
}

std::byte* Arena::require(std::int64_t bytes) {
  if (bytes <= bytes_) return data_;
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  std::free(data_);
  data_ = nullptr;
  bytes_ = 0;
  const auto rounded = static_cast<std::size_t>(round_up(bytes, static_cast<std::int64_t>(kHugePage)));
  data_ = static_cast<std::byte*>(std::aligned_alloc(kHugePage, rounded));
  if (data_ == nullptr) throw std::bad_alloc();
  ::madvise(data_, rounded, MADV_HUGEPAGE);  // fewer TLB misses; a failure costs only speed
  bytes_ = static_cast<std::int64_t>(rounded);
  return data_;
}

namespace {

/// Copies `pixels` runs of `Bytes` bytes (0: of `bytes` bytes). Both strides are in bytes.
template <int Bytes>
void copy_runs(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride,
               std::int64_t pixels, std::int64_t bytes) {
  for (std::int64_t i = 0; i < pixels; ++i) {
    std::memcpy(to + i * to_stride, from + i * from_stride,
                static_cast<std::size_t>(Bytes > 0 ? Bytes : bytes));
  }
}

/// The copy function for runs of `bytes` bytes. For a constant size the compiler emits a few move
/// instructions.
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

memory::desc bias_of(const ConvolutionShape& shape, bool with_bias) {
  return with_bias ? memory::desc({shape.weight[0]}, memory::data_type::f32, memory::format_tag::x)
                   : memory::desc();
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

}  // namespace

dnnl::convolution_forward::primitive_desc convolution(const dnnl::engine& engine,
                                                      const ConvolutionShape& shape, memory::data_type type,
                                                      memory::data_type out_type, bool relu, bool with_bias) {
  const memory::desc in(shape.in, type, memory::format_tag::nhwc),
      weight(shape.weight, type, memory::format_tag::any), bias = bias_of(shape, with_bias),
                                                           out(shape.out, out_type, memory::format_tag::nhwc);
  const auto kind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  return {engine,          kind,          kDirect,         in, weight, bias, out, {1, 1},
          shape.pad_begin, shape.pad_end, attributes(relu)};
#else
  return {{kind, kDirect, in, weight, bias, out, {1, 1}, shape.pad_begin, shape.pad_end},
          attributes(relu),
          engine};
#endif
}

dnnl::convolution_backward_weights::primitive_desc weight_gradient(const dnnl::engine& engine,
                                                                   const ConvolutionShape& shape,
                                                                   memory::data_type type, bool any_layout) {
  const auto layout = any_layout ? memory::format_tag::any : memory::format_tag::nhwc;
  const memory::desc in(shape.in, type, layout), weight(shape.weight, type, memory::format_tag::any),
      gradient(shape.weight, memory::data_type::f32, memory::format_tag::any), bias = bias_of(shape, true),
                                                                               out(shape.out, type, layout);
  const auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_forward::primitive_desc hint(engine, kind, kDirect, in, weight, bias, out, {1, 1},
                                                       shape.pad_begin, shape.pad_end, attributes(false));
  return {engine,          kDirect,       in,   gradient,         bias, out, {1, 1},
          shape.pad_begin, shape.pad_end, hint, attributes(false)};
#else
  const dnnl::convolution_forward::primitive_desc hint(
      {kind, kDirect, in, weight, bias, out, {1, 1}, shape.pad_begin, shape.pad_end}, attributes(false),
      engine);
  return {{kDirect, in, gradient, bias, out, {1, 1}, shape.pad_begin, shape.pad_end},
          attributes(false),
          engine,
          hint};
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

void Steps::add_primitive(const dnnl::primitive& primitive, const memory::desc& scratch,
                          std::initializer_list<Operand> operands, std::unordered_map<int, memory> fixed) {
  scratch_bytes_ = std::max(scratch_bytes_, static_cast<std::int64_t>(scratch.get_size()));
  std::vector<std::pair<memory, Where>> moving;
  for (const Operand& operand : operands) {
    moving.emplace_back(memory(operand.description, engine_, DNNL_MEMORY_NONE), operand.where);
    fixed.insert_or_assign(operand.argument, moving.back().first);
  }
  moving.emplace_back(memory(scratch, engine_, DNNL_MEMORY_NONE), Where{&Pointers::arena, scratch_at_});
  fixed.insert_or_assign(DNNL_ARG_SCRATCHPAD, moving.back().first);
  steps_.emplace_back([this, primitive, moving = std::move(moving),
                       arguments = std::move(fixed)](const Pointers& pointers) mutable {
    for (auto& [held, where] : moving)
      held.set_data_handle(where.in(pointers));
    primitive.execute(stream_, arguments);
  });
}

void Steps::run(const Pointers& pointers, const BetweenLayers& between) const {
  for (const Step& step : steps_) {
    if (between) between();
    step(pointers);
  }
  stream_.wait();
}

void copy_crop(const std::byte* from, std::int64_t in_height, std::int64_t in_width, std::int64_t run,
               std::byte* to, std::int64_t out_height, std::int64_t out_width, std::int64_t out_pixel) {
  const std::int64_t top = (in_height - out_height) / 2, left = (in_width - out_width) / 2;
  const auto copy = copier(run);
  at::parallel_for(0, out_height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      copy(to + y * out_width * out_pixel, out_pixel, from + ((y + top) * in_width + left) * run, run,
           out_width, run);
    }
  });
}

void copy_shuffle(std::byte* spread, std::int64_t height, std::int64_t width, std::int64_t run,
                  std::byte* image, std::int64_t pixel, bool back) {
  const auto copy = copier(run);
  at::parallel_for(0, 2 * height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      for (std::int64_t dx = 0; dx < 2; ++dx) {
        std::byte* one = image + (2 * y * width + dx) * pixel;
        std::byte* four = spread + (y / 2) * width * 4 * run + (2 * (y % 2) + dx) * run;
        if (back) {
          copy(four, 4 * run, one, 2 * pixel, width, run);
        } else {
          copy(one, 2 * pixel, four, 4 * run, width, run);
        }
      }
    }
  });
}

}  // namespace tessera::onednn
