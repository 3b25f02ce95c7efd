#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "io/geometry/block_plan.h"
#include "io/geometry/mirror.h"
#include "io/geometry/tile_grid.h"
#include "tests/unit/workers/network/golden_network.h"
#include "workers/infer/tile_predictor.h"
#include "workers/network/network.h"
#include "workers/network/unet.h"

namespace tessera::testing {

inline UNetOptions small(UNetOptions options) {
  options.base_filters = 2;
  return options;
}

/// The network of a golden file, with 2 filters. `options` must be of the file's preset.
inline std::shared_ptr<Network> golden_network(const char* file, const UNetOptions& options) {
  auto network = std::make_shared<Network>(options);
  const Hdf5Handle opened = open_hdf5_file(std::string(TESSERA_GOLDEN) + "/" + file);
  load_golden_weights(*network, opened.get());
  return network;
}

inline VoxelBuffer random_volume(const Index3& shape) {
  VoxelBuffer volume(VoxelType::uint8, shape);
  std::uint32_t state = 12345;
  for (std::uint8_t& voxel : volume.as<std::uint8_t>()) {
    state = state * 1664525U + 1013904223U;
    voxel = static_cast<std::uint8_t>(state >> 24);
  }
  return volume;
}

inline PredictorOptions float_options() {
  PredictorOptions options;
  options.normalisation = {127, 60};
  options.output_type = VoxelType::float32;
  return options;
}

/// The prediction of each section as one tile. The options must select float32.
inline std::vector<float> predict_whole(const TilePredictor& predictor, const VoxelBuffer& raw,
                                        std::int64_t context) {
  const Index3 shape = raw.shape;
  std::vector<float> all(static_cast<std::size_t>(volume_of(shape)));
  for (std::int64_t z = 0; z < shape.z; ++z) {
    const Tile tile = whole_section_tile(predictor.traits().geometry, shape, z, context);
    const VoxelBuffer section = predictor.predict(raw, Box::of_shape(shape), shape, {tile}, tile.core, {});
    std::memcpy(all.data() + z * shape.y * shape.x, section.bytes.data(), section.bytes.size());
  }
  return all;
}

/// The prediction of the volume in blocks of tiles, as workers predict it. Each block is read once, with its
/// margin, clipped to the volume.
inline std::vector<float> predict_tiled(const TilePredictor& predictor, const VoxelBuffer& raw,
                                        const Index3& tile_input, const Index3& block_shape,
                                        const TileGridOptions& layout) {
  const Index3 shape = raw.shape;
  const TileGrid grid(predictor.traits().geometry, shape, tile_input, layout);
  const BlockPlan plan(shape, block_shape);
  std::vector<float> tiled(static_cast<std::size_t>(volume_of(shape)), -1);
  for (std::int64_t id = 0; id < plan.count(); ++id) {
    const Box block = plan.block(id);
    const std::vector<Tile> tiles = grid.tiles_of(block);
    Box needed = tiles.front().input;
    for (const Tile& tile : tiles) {
      for (int axis = 0; axis < 3; ++axis) {
        needed.begin[axis] = std::min(needed.begin[axis], tile.input.begin[axis]);
        needed.end[axis] = std::max(needed.end[axis], tile.input.end[axis]);
      }
    }
    const Box held = mirrored_source(needed, shape);
    const VoxelBuffer part = cut_mirrored(raw, Box::of_shape(shape), held, shape);
    const VoxelBuffer result = predictor.predict(part, held, shape, tiles, block, {});
    const auto values = result.as<float>();
    const Index3 s = block.shape(), at = block.begin;
    for (std::int64_t z = 0; z < s.z; ++z) {
      for (std::int64_t y = 0; y < s.y; ++y) {
        std::memcpy(tiled.data() + ((at.z + z) * shape.y + at.y + y) * shape.x + at.x,
                    values.data() + (z * s.y + y) * s.x, static_cast<std::size_t>(s.x) * sizeof(float));
      }
    }
  }
  return tiled;
}

/// The largest and the mean difference between two predictions.
struct PredictionDifference {
  double largest = 0, mean = 0;
};
inline PredictionDifference difference_of(const std::vector<float>& a, const std::vector<float>& b) {
  PredictionDifference difference;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one = std::abs(static_cast<double>(a[i]) - b[i]);
    // A NaN counts as the largest difference; std::max would ignore it.
    difference.largest = std::isfinite(one) ? std::max(difference.largest, one) : 1e30;
    difference.mean += one / static_cast<double>(a.size());
  }
  return difference;
}

/// The largest difference between the tiled and the whole-section prediction of a random volume, with inputs
/// as small as possible and with equal inputs.
inline double worst_seam(const std::shared_ptr<Network>& network, const Index3& shape,
                         const Index3& tile_input, const Index3& block_shape, std::int64_t context,
                         const PredictorOptions& options) {
  const TilePredictor predictor(network, options);
  const VoxelBuffer raw = random_volume(shape);
  const std::vector<float> whole = predict_whole(predictor, raw, context);
  double worst = 0;
  for (const bool equal_inputs : {false, true}) {
    const TileGridOptions layout{.context = context, .equal_inputs = equal_inputs};
    worst = std::max(
        worst, difference_of(whole, predict_tiled(predictor, raw, tile_input, block_shape, layout)).largest);
  }
  return worst;
}

}  // namespace tessera::testing
