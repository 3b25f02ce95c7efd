#include "workers/infer/tile_predictor.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <numeric>

#include "io/error.h"
#include "workers/infer/blend_weights.h"
#include "workers/infer/voxel_conversion.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

at::Device torch_device(const Device& device) {
  return device.cuda ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device.index))
                     : at::Device(at::kCPU);
}

at::ScalarType scalar_type(VoxelType type) {
  switch (type) {
    case VoxelType::float16:
      return at::kHalf;
    default:
      return at::kFloat;
  }
}

}  // namespace

/// The prediction of one block.
class TilePredictor::Run {
 public:
  Run(const TilePredictor& predictor, const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
      const Box& block, std::vector<std::byte> memory)
      : network_(*predictor.network_),
        traits_(predictor.traits_),
        options_(predictor.options_),
        device_(torch_device(predictor.options_.device)),
        raw_(raw),
        raw_box_(raw_box),
        volume_shape_(volume_shape),
        block_(block),
        result_(predictor.options_.output_type, block.shape(), predictor.channels(), std::move(memory)) {
    if (options_.labels) {
      wanted_.resize(static_cast<std::size_t>(traits_.told_apart()));
      std::iota(wanted_.begin(), wanted_.end(), std::int64_t{0});
    } else {
      wanted_ = options_.classes;
    }
  }

  void add(const Tile& tile) {
    const at::Tensor probability = averaged(tile).to(at::kCPU);
    if (options_.blending == Blending::crop) {
      store(probability, tile.core);
    } else {
      require_finite_probability(probability.isfinite().all().item<bool>(), tile.core);
      blend(probability, tile);
    }
  }

  VoxelBuffer finish() {
    end_blended_section();
    return std::move(result_);
  }

 private:
  void require_finite_probability(bool finite, const Box& core) const {
    if (finite) return;
    throw Error(fmt::format(
        "the prediction over {} is not finite: the network's weights or the precision {} are unfit (try "
        "precision: float32, or another checkpoint)",
        to_string(core), name_of(options_.precision)));
  }

  /// (wanted classes, y, x) over the tile's core.
  at::Tensor averaged(const Tile& tile) {
    const Box& core = tile.core_in_output;
    const auto cut = [&](const at::Tensor& logits) {
      return logits.narrow(2, core.begin.y, core.shape().y).narrow(3, core.begin.x, core.shape().x);
    };
    const at::Tensor input = normalised(tile.input);
    if (options_.averaging == Averaging::none) return probabilities(cut(network_.logits(input)));
    at::Tensor sum = probabilities(cut(network_.logits(input)));
    const int versions = options_.averaging == Averaging::symmetries8 ? 8 : kRotations;
    for (int version = 1; version < versions; ++version) {
      if (options_.averaging == Averaging::symmetries8) {
        const at::Tensor turned = apply_symmetry(input, version).contiguous();
        sum += probabilities(cut(undo_symmetry(network_.logits(turned), version)));
      } else {
        sum += rotated(tile, version);
      }
    }
    return sum / versions;
  }

  at::Tensor rotated(const Tile& tile, int version) {
    const std::int64_t context = (tile.input.shape().z - 1) / 2;
    const RotatedTile turned = rotated_tile(tile, version, traits_.geometry, context);
    at::Tensor logits = network_.logits(rotate_in(normalised(turned.source), turned));
    if (traits_.geometry.padding == Padding::same) {
      const std::int64_t margin = traits_.geometry.margin;
      logits = logits.narrow(2, margin, logits.size(2) - 2 * margin)
                   .narrow(3, margin, logits.size(3) - 2 * margin);
    }
    return rotate_back(probabilities(logits), turned, tile.core);
  }

  /// The raw voxels of a box as the network wants them: (1, channels * sections, y, x), float32 on the
  /// device.
  at::Tensor normalised(const Box& box) const {
    const Index3 shape = box.shape();
    at::Tensor x = at::empty({1, raw_.channels * shape.z, shape.y, shape.x}, at::kFloat);
    const auto of_section = [this](std::int64_t z) {
      return options_.by_section.empty() ? options_.normalisation
                                         : options_.by_section[static_cast<std::size_t>(z)];
    };
    cut_normalised(raw_, raw_box_, box, volume_shape_, of_section,
                   {x.data_ptr<float>(), static_cast<std::size_t>(x.numel())});
    return x.to(device_);
  }

  /// (1, classes, h, w) of logits to (wanted classes, h, w).
  at::Tensor probabilities(const at::Tensor& logits) const {
    const std::int64_t classes = logits.size(1);
    std::vector<at::Tensor> planes;
    at::Tensor all;
    for (const std::int64_t wanted : wanted_) {
      if (classes == 1) {
        const at::Tensor one = logits.select(1, 0);
        const at::Tensor yes =
            traits_.activation == Activation::none ? one : at::sigmoid(wanted == 1 ? one : -one);
        planes.push_back(traits_.activation == Activation::none && wanted == 0 ? 1 - one : yes);
      } else if (traits_.activation == Activation::none) {
        planes.push_back(logits.select(1, wanted));
      } else if (traits_.activation == Activation::sigmoid) {
        planes.push_back(at::sigmoid(logits.select(1, wanted)));
      } else if (classes == 2) {
        planes.push_back(
            at::sigmoid(logits.select(1, wanted) - logits.select(1, 1 - wanted)));  // the soft-max of two
      } else {
        if (!all.defined()) all = at::softmax(logits, 1);
        planes.push_back(all.select(1, wanted));
      }
    }
    return planes.size() == 1 ? planes.front() : at::cat(planes, 0);
  }

  /// Adds a tile, weighted, to the sums of its section.
  void blend(const at::Tensor& probability, const Tile& tile) {
    if (tile.core.begin.z != blended_z_) end_blended_section();
    if (!sum_.defined()) {
      blended_z_ = tile.core.begin.z;
      sum_ = at::zeros({static_cast<std::int64_t>(wanted_.size()), block_.shape().y, block_.shape().x});
      weight_ = at::zeros({block_.shape().y, block_.shape().x});
    }
    const auto along = [&](int axis) {
      return at::tensor(blend_weights(options_.blending, tile.core.begin[axis], tile.core.end[axis],
                                      tile.cell.begin[axis], tile.cell.end[axis], tile.overlap_reach),
                        at::kFloat);
    };
    const at::Tensor weight = along(1).unsqueeze(1) * along(2).unsqueeze(0);
    const Index3 at = tile.core.begin - block_.begin, shape = tile.core.shape();
    sum_.narrow(1, at.y, shape.y).narrow(2, at.x, shape.x).add_(probability * weight);
    weight_.narrow(0, at.y, shape.y).narrow(1, at.x, shape.x).add_(weight);
  }

  /// Stores the section whose tiles have all been blended: tiles come section by section.
  void end_blended_section() {
    if (!sum_.defined()) return;
    store(sum_ / weight_, {{blended_z_, block_.begin.y, block_.begin.x}, {blended_z_ + 1, block_.end.y, block_.end.x}});
    sum_ = weight_ = at::Tensor();
  }

  /// round(255 p) of (classes, y, x) on the CPU, straight into the result.
  void store_bytes(const at::Tensor& probability, const Box& core) {
    const Index3 at = core.begin - block_.begin, shape = core.shape();
    const float* values = probability.data_ptr<float>();
    auto* out = reinterpret_cast<std::uint8_t*>(result_.bytes.data());
    std::atomic<bool> finite = true;
    constexpr std::int64_t kRowsPerThread = 64;
    at::parallel_for(
        0, result_.channels * shape.y, kRowsPerThread, [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t i = first; i < last; ++i) {
            const std::int64_t c = i / shape.y, y = i % shape.y;
            const std::int64_t row =
                ((c * result_.shape.z + at.z) * result_.shape.y + at.y + y) * result_.shape.x + at.x;
            if (!quantise(values + c * probability.stride(0) + y * probability.stride(1),
                          probability.stride(2), shape.x, out + row)) {
              finite = false;
            }
          }
        });
    require_finite_probability(finite, core);
  }

  /// Quantises the probabilities over `core` and puts them into the result.
  void store(const at::Tensor& probability, const Box& core) {
    if (!options_.labels && options_.output_type == VoxelType::uint8) return store_bytes(probability, core);
    require_finite_probability(probability.isfinite().all().item<bool>(), core);
    at::Tensor values;
    if (options_.labels) {
      values = probability.argmax(0).to(at::kByte).unsqueeze(0);
    } else {
      values = probability.to(scalar_type(options_.output_type));
    }
    values = values.contiguous();
    const std::int64_t width = size_of(result_.type);
    const Index3 at = core.begin - block_.begin, shape = core.shape();
    const auto* from = static_cast<const std::byte*>(values.data_ptr());
    for (std::int64_t c = 0; c < result_.channels; ++c) {
      for (std::int64_t y = 0; y < shape.y; ++y) {
        const std::int64_t row =
            ((c * result_.shape.z + at.z) * result_.shape.y + at.y + y) * result_.shape.x + at.x;
        std::memcpy(result_.bytes.data() + row * width, from + (c * shape.y + y) * shape.x * width,
                    static_cast<std::size_t>(shape.x * width));
      }
    }
  }

  TileNetwork& network_;
  const NetworkTraits& traits_;
  const PredictorOptions& options_;
  at::Device device_;
  const VoxelBuffer& raw_;
  const Box& raw_box_;
  const Index3& volume_shape_;
  const Box& block_;
  VoxelBuffer result_;
  std::vector<std::int64_t> wanted_;
  at::Tensor sum_, weight_;       // of the section being blended
  std::int64_t blended_z_ = 0;
};

TilePredictor::TilePredictor(std::unique_ptr<TileNetwork> network, NetworkTraits traits,
                             const PredictorOptions& options)
    : network_(std::move(network)), traits_(std::move(traits)), options_(options) {
  for (const std::int64_t wanted : options.classes) require_class(traits_, wanted);
}

TilePredictor::TilePredictor(const std::shared_ptr<UNetImpl>& network, const PredictorOptions& options)
    : TilePredictor(make_tile_network(*network, options.precision, options.device),
                    NetworkTraits(network->options()), options) {}

TilePredictor::~TilePredictor() = default;

std::string TilePredictor::engine_text() const {
  return network_->text();
}

VoxelBuffer TilePredictor::predict(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                                   const std::vector<Tile>& tiles, const Box& block,
                                   const std::function<void(std::int64_t)>& after_tile,
                                   std::vector<std::byte> memory) const {
  const c10::InferenceMode inference;
  Run run(*this, raw, raw_box, volume_shape, block, std::move(memory));
  for (const Tile& tile : tiles) {
    try {
      run.add(tile);
    } catch (const OutOfMemory& error) {
      throw OutOfMemory(fmt::format("tile {}: {}", to_string(tile.core), error.what()));
    }
    if (after_tile) after_tile(intersection(tile.cell, block).voxels());
  }
  return run.finish();
}

}  // namespace tessera
