#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <atomic>
#include <cstring>

#include "workers/infer/block_memory.h"
#include "workers/infer/voxel_conversion.h"

namespace tessera {
namespace {

class HostBlock : public BlockMemory {
 public:
  HostBlock(const BlockRequest& request, std::vector<std::byte> memory)
      : request_(request),
        result_(request.options.output_type, request.block.shape(), request.channels, std::move(memory)) {}

  at::Tensor normalised(const Box& box) override {
    const Index3 shape = box.shape();
    at::Tensor x = at::empty({1, request_.raw.channels * shape.z, shape.y, shape.x}, at::kFloat);
    cut_normalised(request_.raw, request_.raw_box, box, request_.volume_shape,
                   [this](std::int64_t z) { return request_.options.normalisation_of(z); },
                   {x.data_ptr<float>(), static_cast<std::size_t>(x.numel())});
    return x;
  }

  void require_finite(const at::Tensor& probability, const Box& core) override {
    if (!probability.isfinite().all().item<bool>()) throw_not_finite(core, request_.options.precision);
  }

  void store(const at::Tensor& probability, const Box& core) override {
    const PredictorOptions& options = request_.options;
    if (!options.labels && options.output_type == VoxelType::uint8) return store_bytes(probability, core);
    require_finite(probability, core);
    at::Tensor values;
    if (options.labels) {
      values = probability.argmax(0).to(at::kByte).unsqueeze(0);
    } else {
      values = probability.to(options.output_type == VoxelType::float16 ? at::kHalf : at::kFloat);
    }
    values = values.contiguous();
    const std::int64_t width = size_of(result_.type);
    const Index3 shape = core.shape();
    const auto* from = static_cast<const std::byte*>(values.data_ptr());
    for (std::int64_t c = 0; c < result_.channels; ++c) {
      for (std::int64_t y = 0; y < shape.y; ++y) {
        std::memcpy(result_.bytes.data() + row_of(core, c, y) * width,
                    from + (c * shape.y + y) * shape.x * width, static_cast<std::size_t>(shape.x * width));
      }
    }
  }

  VoxelBuffer finish() override { return std::move(result_); }

 private:
  /// The index, in voxels, of row `y` of a core in the result's channel `c`.
  std::int64_t row_of(const Box& core, std::int64_t c, std::int64_t y) const {
    const Index3 at = core.begin - request_.block.begin;
    return ((c * result_.shape.z + at.z) * result_.shape.y + at.y + y) * result_.shape.x + at.x;
  }

  /// Writes round(255 p) of (classes, y, x) directly into the result.
  void store_bytes(const at::Tensor& probability, const Box& core) {
    const Index3 shape = core.shape();
    const float* values = probability.data_ptr<float>();
    auto* out = reinterpret_cast<std::uint8_t*>(result_.bytes.data());
    std::atomic<bool> finite = true;
    constexpr std::int64_t kRowsPerThread = 64;
    at::parallel_for(0, result_.channels * shape.y, kRowsPerThread,
                     [&](std::int64_t first, std::int64_t last) {
                       for (std::int64_t i = first; i < last; ++i) {
                         const std::int64_t c = i / shape.y, y = i % shape.y;
                         if (!quantise(values + c * probability.stride(0) + y * probability.stride(1),
                                       probability.stride(2), shape.x, out + row_of(core, c, y))) {
                           finite = false;
                         }
                       }
                     });
    if (!finite) throw_not_finite(core, request_.options.precision);
  }

  BlockRequest request_;
  VoxelBuffer result_;
};

}  // namespace

std::unique_ptr<BlockMemory> make_host_block(const BlockRequest& request, std::vector<std::byte> memory) {
  return std::make_unique<HostBlock>(request, std::move(memory));
}

}  // namespace tessera
