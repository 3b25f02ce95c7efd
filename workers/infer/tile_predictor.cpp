#include "workers/infer/tile_predictor.h"

#include <ATen/DeviceGuard.h>
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <numeric>
#include <stdexcept>

#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/device/torch_types.h"
#include "workers/infer/blend_weights.h"
#include "workers/infer/block_memory.h"
#include "workers/infer/test_time_averaging.h"
#include "workers/network/network.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

/// Adds the block's name to an out-of-memory error of `work`.
template <class Work>
auto with_block_named(const Box& block, const Work& work) {
  return translated_out_of_memory(
      [&] { return fmt::format("memory ran out for block {}", to_string(block)); }, work);
}

}  // namespace

/// The prediction of one block.
class TilePredictor::Run {
 public:
  Run(const TilePredictor& predictor, const BlockRequest& request, std::unique_ptr<BlockMemory> memory)
      : network_(*predictor.network_),
        traits_(predictor.traits_),
        options_(predictor.options_),
        block_(request.block),
        memory_(std::move(memory)) {
    if (options_.labels) {
      wanted_.resize(static_cast<std::size_t>(traits_.class_count()));
      std::iota(wanted_.begin(), wanted_.end(), std::int64_t{0});
    } else {
      wanted_ = options_.classes;
    }
  }

  void add(const Tile& tile) {
    const at::Tensor probability = averaged(tile);
    if (options_.blending == Blending::crop) {
      memory_->store(probability, tile.core);
    } else {
      memory_->require_finite(probability, tile.core);
      blend(probability, tile);
    }
  }

  /// To be called after the last tile.
  void end() {
    end_blended_section();
    memory_->end();
  }
  bool is_done() { return memory_->is_done(); }
  VoxelBuffer finish() { return memory_->finish(); }

  const Box& block() const { return block_; }
  const Device& device() const { return options_.device; }

 private:
  /// (selected classes, y, x) over the tile's core.
  at::Tensor averaged(const Tile& tile) {
    const Box& core = tile.core_in_output;
    const auto cut = [&](const at::Tensor& logits) {
      return logits.narrow(2, core.begin.y, core.shape().y).narrow(3, core.begin.x, core.shape().x);
    };
    const at::Tensor input = memory_->normalised(tile.input);
    if (options_.averaging == Averaging::none) return probabilities(cut(network_.logits(input)));
    at::Tensor sum = probabilities(cut(network_.logits(input)));
    const int versions = options_.averaging == Averaging::symmetries8 ? 8 : kRotations;
    for (int version = 1; version < versions; ++version) {
      if (options_.averaging == Averaging::symmetries8) {
        const at::Tensor transformed = apply_symmetry(input, version).contiguous();
        sum += probabilities(cut(undo_symmetry(network_.logits(transformed), version)));
      } else {
        sum += rotated(tile, version);
      }
    }
    return sum / versions;
  }

  at::Tensor rotated(const Tile& tile, int version) {
    const std::int64_t context = (tile.input.shape().z - 1) / 2;
    const RotatedTile rotated = rotated_tile(tile, version, traits_.geometry, context);
    at::Tensor logits = network_.logits(rotate_in(memory_->normalised(rotated.source), rotated));
    if (traits_.geometry.padding == Padding::same) {
      const std::int64_t margin = traits_.geometry.margin;
      logits = logits.narrow(2, margin, logits.size(2) - 2 * margin)
                   .narrow(3, margin, logits.size(3) - 2 * margin);
    }
    return rotate_back(probabilities(logits), rotated, tile.core);
  }

  /// Converts logits (1, classes, h, w) to probabilities (selected classes, h, w).
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
        planes.push_back(at::sigmoid(logits.select(1, wanted) -
                                     logits.select(1, 1 - wanted)));  // the soft-max of two classes
      } else {
        if (!all.defined()) all = at::softmax(logits, 1);
        planes.push_back(all.select(1, wanted));
      }
    }
    return planes.size() == 1 ? planes.front() : at::cat(planes, 0);
  }

  /// Adds a weighted tile to the sums of its section.
  void blend(const at::Tensor& probability, const Tile& tile) {
    if (tile.core.begin.z != blended_z_) end_blended_section();
    if (!sum_.defined()) {
      blended_z_ = tile.core.begin.z;
      sum_ = at::zeros({static_cast<std::int64_t>(wanted_.size()), block_.shape().y, block_.shape().x},
                       probability.options());
      weight_ = at::zeros({block_.shape().y, block_.shape().x}, probability.options());
    }
    const auto along = [&](int axis) {
      const at::Tensor host =
          at::tensor(blend_weights(options_.blending, tile.core.begin[axis], tile.core.end[axis],
                                   tile.cell.begin[axis], tile.cell.end[axis], tile.overlap_reach),
                     at::kFloat);
      // From pinned memory, so that the copy is asynchronous.
      return probability.device().is_cuda()
                 ? host.pin_memory().to(probability.device(), /*non_blocking=*/true)
                 : host;
    };
    const at::Tensor weight = along(1).unsqueeze(1) * along(2).unsqueeze(0);
    const Index3 at = tile.core.begin - block_.begin, shape = tile.core.shape();
    sum_.narrow(1, at.y, shape.y).narrow(2, at.x, shape.x).add_(probability * weight);
    weight_.narrow(0, at.y, shape.y).narrow(1, at.x, shape.x).add_(weight);
  }

  /// Stores the section that is complete. Tiles arrive section by section.
  void end_blended_section() {
    if (!sum_.defined()) return;
    memory_->store(sum_ / weight_, {{blended_z_, block_.begin.y, block_.begin.x},
                                    {blended_z_ + 1, block_.end.y, block_.end.x}});
    sum_ = weight_ = at::Tensor();
  }

  TileNetwork& network_;
  const NetworkTraits& traits_;
  const PredictorOptions& options_;
  Box block_;
  std::unique_ptr<BlockMemory> memory_;
  std::vector<std::int64_t> wanted_;
  at::Tensor sum_, weight_;  // of the section that is being blended
  std::int64_t blended_z_ = 0;
};

TilePredictor::TilePredictor(std::unique_ptr<TileNetwork> network, NetworkTraits traits,
                             const PredictorOptions& options)
    : network_(std::move(network)), traits_(std::move(traits)), options_(options) {
  for (const std::int64_t wanted : options.classes)
    require_class(traits_, wanted);
  const at::OptionalDeviceGuard on_device(torch_device(options.device));
  if (!options.device.cuda && !options.blocks_on_device) return;
  for (auto& memory : device_memory_)
    memory = std::make_unique<DeviceBlockMemory>(torch_device(options.device));
}

TilePredictor::TilePredictor(const std::shared_ptr<Network>& network, const PredictorOptions& options)
    : TilePredictor(make_tile_network(*network, options.precision, options.device, options.exact_tiles),
                    NetworkTraits(network->description()), options) {}

TilePredictor::~TilePredictor() = default;

std::string TilePredictor::engine_text() const {
  return network_->text();
}

Invariance TilePredictor::invariance() const {
  return network_->invariance();
}

VoxelBuffer TilePredictor::predict(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                                   const std::vector<Tile>& tiles, const Box& block,
                                   const std::function<void(std::int64_t)>& after_tile,
                                   std::vector<std::byte> memory) const {
  return queue(raw, raw_box, volume_shape, tiles, block, after_tile, std::move(memory))->finish();
}

std::unique_ptr<TilePredictor::Queued> TilePredictor::queue(
    const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape, const std::vector<Tile>& tiles,
    const Box& block, const std::function<void(std::int64_t)>& after_tile,
    std::vector<std::byte> memory) const {
  const c10::InferenceMode inference;
  const at::OptionalDeviceGuard on_device(torch_device(options_.device));
  const BlockRequest request{raw, raw_box, volume_shape, block, options_, channels()};
  return with_block_named(
      block, [&] { return std::make_unique<Queued>(start(request, tiles, after_tile, std::move(memory))); });
}

std::unique_ptr<TilePredictor::Run> TilePredictor::start(const BlockRequest& request,
                                                         const std::vector<Tile>& tiles,
                                                         const std::function<void(std::int64_t)>& after_tile,
                                                         std::vector<std::byte> memory) const {
  const auto held = [&] {
    if (!queues()) return make_host_block(request, std::move(memory));
    for (const auto& free : device_memory_) {
      if (!free->taken) return make_device_block(request, *free, std::move(memory));
    }
    throw std::logic_error("a third block at a time");
  };
  auto run = std::make_unique<Run>(*this, request, held());
  for (const Tile& tile : tiles) {
    try {
      run->add(tile);
    } catch (const OutOfMemory& error) {
      throw OutOfMemory(fmt::format("tile {}: {}", to_string(tile.core), error.what()));
    }
    if (after_tile) after_tile(intersection(tile.cell, request.block).voxels());
  }
  run->end();
  return run;
}

TilePredictor::Queued::Queued(std::unique_ptr<Run> run) : run_(std::move(run)) {}

TilePredictor::Queued::~Queued() {
  if (!run_) return;
  try {
    const at::OptionalDeviceGuard on_device(torch_device(run_->device()));
    run_.reset();
  } catch (const std::exception&) {  // the device has failed: the exception being propagated reports it
  }
}

bool TilePredictor::Queued::is_done() const {
  const at::OptionalDeviceGuard on_device(torch_device(run_->device()));
  return run_->is_done();
}

VoxelBuffer TilePredictor::Queued::finish() {
  const std::unique_ptr<Run> run = std::move(run_);
  const c10::InferenceMode inference;
  const at::OptionalDeviceGuard on_device(torch_device(run->device()));
  return with_block_named(run->block(), [&] { return run->finish(); });
}

}  // namespace tessera
