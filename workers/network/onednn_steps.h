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
#include "workers/network/between_layers.h"

namespace tessera::onednn {

/// Runs `work` and returns its result. An error of oneDNN becomes std::bad_alloc if memory ran out, else an
/// Error with the message "oneDNN failed `where`".
template <class Work>
auto checked(const std::string& where, const Work& work) {
  try {
    return work();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw Error(fmt::format("oneDNN failed {}: {}", where, error.what()));
  }
}

/// One page-aligned memory block that only grows.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();
  /// Returns at least `bytes` bytes. The contents are lost when the block grows. Errors: std::bad_alloc.
  std::byte* require(std::int64_t bytes);

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// The addresses of the buffers of a pass. Buffers that a pass does not use are null.
struct Pointers {
  std::byte* arena = nullptr;
  std::byte* input = nullptr;
  std::byte* output = nullptr;
  std::byte* output_gradient = nullptr;
};

/// An address relative to one of the pointers.
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

  /// The scratch memory of the primitives starts at byte `scratch_at` of the arena.
  Steps(dnnl::engine engine, dnnl::stream stream, std::int64_t scratch_at)
      : engine_(std::move(engine)), stream_(std::move(stream)), scratch_at_(scratch_at) {}

  Steps(const Steps&) = delete;  // steps hold a pointer to this object
  Steps& operator=(const Steps&) = delete;

  void add(Step step) { steps_.push_back(std::move(step)); }
  /// Adds a primitive. The addresses of `operands` follow the pointers; `fixed` operands (weights) do not
  /// move.
  template <class Primitive, class Description>
  void add(const Description& description, std::initializer_list<Operand> operands,
           std::unordered_map<int, dnnl::memory> fixed) {
    add_primitive(Primitive(description), description.scratchpad_desc(), operands, std::move(fixed));
  }

  /// The size of the arena that run() needs, in bytes.
  std::int64_t arena_bytes() const { return scratch_at_ + scratch_bytes_; }
  /// Runs all steps and waits for them. `between`: may be empty. Errors: dnnl::error.
  void run(const Pointers& pointers, const BetweenLayers& between = {}) const;

 private:
  void add_primitive(const dnnl::primitive& primitive, const dnnl::memory::desc& scratch,
                     std::initializer_list<Operand> operands, std::unordered_map<int, dnnl::memory> fixed);

  dnnl::engine engine_;
  mutable dnnl::stream stream_;
  std::int64_t scratch_at_, scratch_bytes_ = 0;
  std::vector<Step> steps_;
};

/// A convolution of one image. Input and output are (y, x, channels) in memory. Dimensions are in oneDNN's
/// order: images (1, channels, y, x), weights (out, in, ky, kx), bias (out).
struct ConvolutionShape {
  dnnl::memory::dims in, weight, out;
  dnnl::memory::dims pad_begin, pad_end;
};

/// Describes a convolution. oneDNN chooses the layout of the weights. The bias is float32, or absent if
/// `with_bias` is false. `relu` appends a ReLU.
dnnl::convolution_forward::primitive_desc convolution(const dnnl::engine& engine,
                                                      const ConvolutionShape& shape,
                                                      dnnl::memory::data_type type,
                                                      dnnl::memory::data_type out_type, bool relu,
                                                      bool with_bias = true);
/// Describes the float32 gradient of a convolution's weights and bias. Images have `type` and the layout
/// (y, x, channels), or a layout that oneDNN chooses if `any_layout`.
dnnl::convolution_backward_weights::primitive_desc weight_gradient(const dnnl::engine& engine,
                                                                   const ConvolutionShape& shape,
                                                                   dnnl::memory::data_type type,
                                                                   bool any_layout = false);
/// Describes 2x2 max pooling without indices.
dnnl::pooling_forward::primitive_desc pooling(const dnnl::engine& engine, const dnnl::memory::dims& in,
                                              const dnnl::memory::dims& out, dnnl::memory::data_type type);

/// Copies the centre of an image to the first channels of another: "copy and crop" of Ronneberger et al.
/// 2015. The source has (in_height, in_width) pixels of `run` bytes each. The destination has (out_height,
/// out_width) pixels of `out_pixel` bytes each.
void copy_crop(const std::byte* from, std::int64_t in_height, std::int64_t in_width, std::int64_t run,
               std::byte* to, std::int64_t out_height, std::int64_t out_width, std::int64_t out_pixel);

/// Copies (height, width) pixels of 4 runs each to (2 height, 2 width) pixels of one run each. Run 2 dy + dx
/// of pixel (y, x) is copied to pixel (2 y + dy, 2 x + dx). A run has `run` bytes. Runs of the larger image
/// are `pixel` bytes apart. `back` copies from the larger image to the smaller one.
void copy_shuffle(std::byte* spread, std::int64_t height, std::int64_t width, std::int64_t run,
                  std::byte* image, std::int64_t pixel, bool back);

}  // namespace tessera::onednn
