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
  crop,      ///< no overlap: each voxel from the one tile whose core it is in
  linear,    ///< weights fall linearly to 0 over the overlap
  gaussian,  ///< weights fall as a Gaussian with the overlap as four standard deviations
};
constexpr auto enum_names(Blending) {
  return std::to_array<EnumName<Blending>>(
      {{Blending::crop, "crop"}, {Blending::linear, "linear"}, {Blending::gaussian, "gaussian"}});
}

struct PredictorOptions {
  Normalisation normalisation;
  std::vector<Normalisation> by_section;  ///< in place of `normalisation`, one for each section of the volume
  Precision precision = Precision::float32;
  Device device;
  ExactTiles exact_tiles = ExactTiles::automatic;  ///< of a network that is made here
  /// Classes whose probabilities are the result, a channel each; for one-class networks 1 is that class, 0
  /// its complement.
  std::vector<std::int64_t> classes = {1};
  bool labels = false;                       ///< the predicted class instead, as uint8; `classes` is not used
  VoxelType output_type = VoxelType::uint8;  ///< uint8: round(255 p); float16, float32: p
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  /// Blocks go to the device whole and come back whole, as they always do where it is a GPU.
  bool blocks_on_device = false;

  /// Of a section of the volume.
  const Normalisation& normalisation_of(std::int64_t z) const {
    return by_section.empty() ? normalisation : by_section[static_cast<std::size_t>(z)];
  }
};

/// Runs a network over tiles.
class TilePredictor {
  class Run;

 public:
  /// Errors: UsageError for an output class that the network lacks.
  TilePredictor(std::unique_ptr<TileNetwork> network, NetworkTraits traits, const PredictorOptions& options);
  /// A network on the fastest engine for the options' device and precision; the network is copied. Errors:
  /// UsageError, also for a precision that the device lacks.
  TilePredictor(const std::shared_ptr<Network>& network, const PredictorOptions& options);
  ~TilePredictor();

  const PredictorOptions& options() const { return options_; }
  /// Of the volume to come, in place of the options'.
  void set_normalisation(const Normalisation& normalisation) { options_.normalisation = normalisation; }
  const NetworkTraits& traits() const { return traits_; }
  /// The name of the engine.
  std::string engine_text() const;
  /// What is known of its outputs, bit for bit (TileNetwork::invariance).
  Invariance invariance() const;
  /// Channels of the result.
  std::int64_t channels() const {
    return options_.labels ? 1 : static_cast<std::int64_t>(options_.classes.size());
  }

  /// The result over `block` (channel by channel, row-major, of the output type). `raw` holds the voxels of
  /// `raw_box`, which has everything that the tiles read (`Tile::read`), mirrored beyond `volume_shape`.
  /// `after_tile` is called after each tile with the voxels it made; on a GPU, which is told ahead what to
  /// do, when it has been told of the tile. `memory`: for the result, where the caller has some to spare. One
  /// block at a time. Errors: Error when a prediction is NaN, naming the tile; OutOfMemory, naming it, too.
  VoxelBuffer predict(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                      const std::vector<Tile>& tiles, const Box& block,
                      const std::function<void(std::int64_t)>& after_tile,
                      std::vector<std::byte> memory = {}) const;

  /// A block in flight.
  class Queued {
   public:
    explicit Queued(std::unique_ptr<Run> run);
    ~Queued();
    /// Whether finish() would not have to wait.
    bool is_done() const;
    /// Waits for it: the result, once. Errors: as predict().
    VoxelBuffer finish();

   private:
    std::unique_ptr<Run> run_;
  };
  /// Whether queue() returns before the block is predicted: on a GPU.
  bool queues() const { return device_memory_.front() != nullptr; }
  /// predict() in two parts: a GPU has been told of all of the block when this returns, so that it goes on
  /// with the next one while the host finishes this one. At most two blocks at a time; `raw` and this
  /// predictor must outlive it. Errors: as predict().
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
  std::array<std::unique_ptr<DeviceBlockMemory>, 2> device_memory_;  ///< where blocks go to a device
};

}  // namespace tessera
