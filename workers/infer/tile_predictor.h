#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/tile_grid.h"
#include "io/voxel_type.h"
#include "workers/device.h"

namespace tessera {

class UNetImpl;

/// Raw values v reach the network as (v - mean) / std, in the units of the file.
struct Normalisation {
  double mean = 0, std = 1;
};

enum class Precision { float32, bfloat16, float16 };
std::string name_of(Precision precision);

struct PredictorOptions {
  Normalisation normalisation;
  Precision precision = Precision::float32;
  Device device;
  std::int64_t output_class = 1;  ///< whose probability is the result; for one-class networks 1 is that class, 0 its complement
  VoxelType output_type = VoxelType::uint8;  ///< uint8: round(255 p); float32: p
};

/// Runs a network over tiles.
class TilePredictor {
 public:
  /// The network is put into evaluation mode and moved to device and precision. Errors: UsageError for a
  /// precision that the device lacks, or an output class that the network lacks.
  TilePredictor(std::shared_ptr<UNetImpl> network, const PredictorOptions& options);
  ~TilePredictor();

  /// The result over `block` (row-major, of the output type). `raw` holds the voxels of `raw_box`, which has
  /// everything that the tiles' inputs show, mirrored beyond `volume_shape`. `after_tile` is called after
  /// each tile with the output pixels it made. Errors: Error when a prediction is NaN, naming the tile.
  VoxelBuffer predict(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                      const std::vector<Tile>& tiles, const Box& block,
                      const std::function<void(std::int64_t)>& after_tile) const;

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
  PredictorOptions options_;
};

}  // namespace tessera
