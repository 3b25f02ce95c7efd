#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/tile_grid.h"
#include "io/geometry/voxel_type.h"
#include "workers/device/device.h"
#include "workers/infer/averaging.h"
#include "workers/network/network_traits.h"
#include "workers/network/normalisation.h"

namespace tessera {

class TileNetwork;
struct Invariance;
class Network;
struct BlockRequest;
struct DeviceBlockMemory;

/// How overlapping tiles are averaged (TileGridOptions::blend_overlap).
enum class Blending {
  crop,      ///< no overlap: one tile predicts each voxel of its core
  linear,    ///< weights fall linearly to 0 over the overlap
  gaussian,  ///< weights fall as a Gaussian with the overlap as four standard deviations
};
constexpr auto enum_names(Blending) {
  return std::to_array<EnumName<Blending>>(
      {{Blending::crop, "crop"}, {Blending::linear, "linear"}, {Blending::gaussian, "gaussian"}});
}

struct PredictorOptions {
  Normalisation normalisation;
  std::vector<Normalisation> by_section;  ///< instead of `normalisation`: one for each section of the volume
  Precision precision = Precision::float32;
  Device device;
  ExactTiles exact_tiles = ExactTiles::automatic;  ///< of a network that the predictor makes itself
  /// Classes whose probabilities form the result, one channel each. For one-class networks, 1 is that class
  /// and 0 is its complement.
  std::vector<std::int64_t> classes = {1};
  bool labels = false;  ///< the result is the predicted class, as uint8, and `classes` is not used
  VoxelType output_type = VoxelType::uint8;  ///< uint8: round(255 p); float16, float32: p
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  /// Whole blocks are copied to the device, and whole results back. Always so on a GPU.
  bool blocks_on_device = false;

  /// The normalisation of a section of the volume.
  const Normalisation& normalisation_of(std::int64_t z) const {
    return by_section.empty() ? normalisation : by_section[static_cast<std::size_t>(z)];
  }
};

/// Runs a network over tiles.
class TilePredictor {
  class Run;

 public:
  /// Errors: UsageError for an output class that the network does not have.
  TilePredictor(std::unique_ptr<TileNetwork> network, NetworkTraits traits, const PredictorOptions& options);
  /// Uses the fastest engine for the options' device and precision. The network is copied. Errors:
  /// UsageError, also for a precision that the device does not support.
  TilePredictor(const std::shared_ptr<Network>& network, const PredictorOptions& options);
  ~TilePredictor();

  const PredictorOptions& options() const { return options_; }
  /// Replaces the options' normalisation for the next volume.
  void set_normalisation(const Normalisation& normalisation) { options_.normalisation = normalisation; }
  const NetworkTraits& traits() const { return traits_; }
  /// The name of the engine.
  std::string engine_text() const;
  /// Which properties its outputs have bitwise (TileNetwork::invariance).
  Invariance invariance() const;
  /// Channels of the result.
  std::int64_t channels() const {
    return options_.labels ? 1 : static_cast<std::int64_t>(options_.classes.size());
  }

  /// Predicts `block`. The result is channel by channel, row-major, of the output type. `raw` holds the
  /// voxels of `raw_box`, which contains all that the tiles read (`Tile::read`). Voxels beyond `volume_shape`
  /// are mirrored. `after_tile` is called after each tile with its number of voxels; on a GPU, when the tile
  /// has been queued. `memory`: reused for the result; may be empty. One block at a time. Errors: Error when
  /// a prediction is NaN, naming the tile; OutOfMemory, naming the tile.
  VoxelBuffer predict(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                      const std::vector<Tile>& tiles, const Box& block,
                      const std::function<void(std::int64_t)>& after_tile,
                      std::vector<std::byte> memory = {}) const;

  /// A block in flight.
  class Queued {
   public:
    explicit Queued(std::unique_ptr<Run> run);
    ~Queued();
    /// Whether finish() returns without waiting.
    bool is_done() const;
    /// Waits for the block and returns its result. Called once. Errors: as predict().
    VoxelBuffer finish();

   private:
    std::unique_ptr<Run> run_;
  };
  /// Whether queue() returns before the block is predicted. True on a GPU.
  bool queues() const { return device_memory_.front() != nullptr; }
  /// predict() in two parts. On a GPU the whole block is queued when this returns, so the GPU can compute the
  /// next block while the host finishes this one. At most two blocks at a time. `raw` and this predictor must
  /// outlive the returned object. Errors: as predict().
  std::unique_ptr<Queued> queue(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                                const std::vector<Tile>& tiles, const Box& block,
                                const std::function<void(std::int64_t)>& after_tile,
                                std::vector<std::byte> memory = {}) const;

 private:
  std::unique_ptr<Run> start(const BlockRequest& request, const std::vector<Tile>& tiles,
                             const std::function<void(std::int64_t)>& after_tile,
                             std::vector<std::byte> memory) const;

  std::unique_ptr<TileNetwork> network_;
  NetworkTraits traits_;
  PredictorOptions options_;
  std::array<std::unique_ptr<DeviceBlockMemory>, 2>
      device_memory_;  ///< used when blocks are computed on a device
};

}  // namespace tessera
