#include "workers/infer/tile_choice.h"

#include <gtest/gtest.h>

#include "io/geometry/block_plan.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

TileDemand on(bool cuda) {
  return {.budget = std::int64_t{12} << 30, .precision = Precision::bfloat16, .cuda = cuda};
}

/// The number of input pixels computed for the whole volume.
std::int64_t computed(const NetworkTraits& network, const Index3& volume, const Index3& block,
                      const Index3& tile, bool cuda) {
  const TileGrid grid = make_tile_grid(network, volume, tile, 0, on(cuda));
  const BlockPlan plan(volume, block);
  std::int64_t pixels = 0;
  for (std::int64_t id = 0; id < plan.count(); ++id) {
    for (const Tile& one : grid.tiles_of(plan.block(id)))
      pixels += one.input.shape().y * one.input.shape().x;
  }
  return pixels;
}

TEST(TileChoice, AllTilesHaveOneSizeOnAGpu) {
  const NetworkTraits network(unet2015_options());
  const Index3 volume{1, 1250, 1900}, block{1, 1008, 1008};
  const Index3 tile = choose_tile(network, block, volume, on(true));
  const TileGrid grid = make_tile_grid(network, volume, tile, 0, on(true));
  const BlockPlan plan(volume, block);
  for (std::int64_t id = 0; id < plan.count(); ++id) {
    for (const Tile& one : grid.tiles_of(plan.block(id)))
      EXPECT_EQ(one.input.shape(), tile);
  }
}

TEST(TileChoice, AvoidsFullTilesForAShortLastBlock) {
  const NetworkTraits network(unet2015_options());
  const Index3 block{1, 1008, 1008};
  // As large as the block, if the blocks divide the volume evenly.
  EXPECT_EQ(choose_tile(network, block, {1, 4032, 4032}, on(true)), (Index3{1, 1196, 1196}));
  const Index3 volume{1, 1250, 1250}, chosen = choose_tile(network, block, volume, on(true));
  EXPECT_LT(chosen.y, 1196);
  EXPECT_LT(computed(network, volume, block, chosen, true),
            0.8 * static_cast<double>(computed(network, volume, block, {1, 1196, 1196}, true)));
  EXPECT_EQ(choose_tile(network, block, volume, on(false)), (Index3{1, 1196, 1196}))
      << "on the CPU the last tile is as small as possible";
}

}  // namespace
}  // namespace tessera
