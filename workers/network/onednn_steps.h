#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <initializer_list>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/base/error.h"

namespace tessera::onednn {

/// Runs `work` and returns its result. oneDNN's errors become std::bad_alloc where memory ran out, else an
/// Error that says that oneDNN failed `where`.
template <class Work>
auto checked(const std::string& where, const Work& work) {
  try {
    return work();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw Error(fmt::format("oneDNN failed {}: {}", where, error.what()));
  }
}

/// One piece of page-aligned memory that only grows.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();
  /// At least so many bytes; what they held is lost when it grows. Errors: std::bad_alloc.
  std::byte* require(std::int64_t bytes);

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// Where the buffers of a pass lie; what a pass does not have is null.
struct Pointers {
  std::byte* arena = nullptr;
  std::byte* input = nullptr;
  std::byte* output = nullptr;
  std::byte* output_gradient = nullptr;
};

/// A place that is known once the pointers are.
struct Where {
  std::byte* Pointers::*base = &Pointers::arena;
  std::int64_t offset = 0;
  std::byte* in(const Pointers& pointers) const { return pointers.*base + offset; }
};

/// The steps of a pass, to be run one after the other. Not thread-safe.
class Steps {
 public:
  using Step = std::function<void(const Pointers&)>;
  struct Operand {
    int argument;  ///< DNNL_ARG_...
    dnnl::memory::desc description;
    Where where;
  };

  /// The scratch memory of the primitives lies behind the arena's first `scratch_at` bytes.
  Steps(dnnl::engine engine, dnnl::stream stream, std::int64_t scratch_at)
      : engine_(std::move(engine)), stream_(std::move(stream)), scratch_at_(scratch_at) {}

  Steps(const Steps&) = delete;  // steps point at it
  Steps& operator=(const Steps&) = delete;

  void add(Step step) { steps_.push_back(std::move(step)); }
  /// A primitive whose `operands` move with the pointers; `fixed` ones (weights) stay where they are.
  template <class Primitive, class Description>
  void add(const Description& description, std::initializer_list<Operand> operands,
           std::unordered_map<int, dnnl::memory> fixed) {
    add_primitive(Primitive(description), description.scratchpad_desc(), operands, std::move(fixed));
  }

  /// Bytes of the arena that run() needs.
  std::int64_t arena_bytes() const { return scratch_at_ + scratch_bytes_; }
  /// Runs all steps and waits for them. Errors: dnnl::error.
  void run(const Pointers& pointers) const;

 private:
  void add_primitive(const dnnl::primitive& primitive, const dnnl::memory::desc& scratch,
                     std::initializer_list<Operand> operands, std::unordered_map<int, dnnl::memory> fixed);

  dnnl::engine engine_;
  mutable dnnl::stream stream_;
  std::int64_t scratch_at_, scratch_bytes_ = 0;
  std::vector<Step> steps_;
};

/// A convolution of one image, (y, x, channels) in and out. Dims in oneDNN's order: (1, channels, y, x),
/// weights (out, in, ky, kx), bias (out).
struct ConvolutionShape {
  dnnl::memory::dims in, weight, out;
  dnnl::memory::dims pad_begin, pad_end;
};

/// Weights in whatever layout is fastest; bias float32, none where `with_bias` is false; ReLU where asked
/// for.
dnnl::convolution_forward::primitive_desc convolution(const dnnl::engine& engine,
                                                      const ConvolutionShape& shape,
                                                      dnnl::memory::data_type type,
                                                      dnnl::memory::data_type out_type, bool relu,
                                                      bool with_bias = true);
/// The gradient of a convolution's weights and bias, float32, by images of `type`: (y, x, channels), or,
/// where `any_layout`, in whatever layout is fastest.
dnnl::convolution_backward_weights::primitive_desc weight_gradient(const dnnl::engine& engine,
                                                                   const ConvolutionShape& shape,
                                                                   dnnl::memory::data_type type,
                                                                   bool any_layout = false);
/// Maximum of 2x2, without indices.
dnnl::pooling_forward::primitive_desc pooling(const dnnl::engine& engine, const dnnl::memory::dims& in,
                                              const dnnl::memory::dims& out, dnnl::memory::data_type type);

/// Copies the middle of (in_height, in_width) pixels of `run` bytes each to the front of pixels of
/// `out_pixel` bytes, (out_height, out_width): the paper's "copy and crop".
void copy_crop(const std::byte* from, std::int64_t in_height, std::int64_t in_width, std::int64_t run,
               std::byte* to, std::int64_t out_height, std::int64_t out_width, std::int64_t out_pixel);

/// (height, width) pixels of 4 runs of `run` bytes become (2 height, 2 width) pixels with one run each: run
/// 2 dy + dx of (y, x) goes to (2 y + dy, 2 x + dx). Runs of the larger image are `pixel` bytes apart.
/// `back` copies the other way.
void copy_shuffle(std::byte* spread, std::int64_t height, std::int64_t width, std::int64_t run,
                  std::byte* image, std::int64_t pixel, bool back);

}  // namespace tessera::onednn
