#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "inference_jobs.h"
#include "io/base/error.h"
#include "pipeline/blocks/coordinator.h"
#include "ranks.h"
#include "workers/blocks/block_worker.h"
#include "workers/infer/prediction_task.h"
#include "workers/infer/tile_choice.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::make_job;
using testing::make_raw;
using testing::make_shared_job;
using testing::predictor_options;
using testing::run_on_all_ranks;
using testing::run_worker;
using testing::Shapes;
using testing::small_network;
using testing::voxels_of;
using testing::world;

/// A network that runs out of memory for large tiles.
class SmallMemory : public TileNetwork {
 public:
  SmallMemory(std::unique_ptr<TileNetwork> network, std::int64_t largest)
      : network_(std::move(network)), largest_(largest) {}
  at::Tensor logits(const at::Tensor& input) override {
    if (input.size(2) > largest_) throw OutOfMemory("no room");
    return network_->logits(input);
  }
  std::string text() const override { return network_->text(); }

 private:
  std::unique_ptr<TileNetwork> network_;
  std::int64_t largest_;
};

TEST(InferenceRanks, ContinuesWithSmallerTilesWhenMemoryRunsOut) {
  const Shapes shapes{{3, 101, 133}, {1, 96, 96}, {1, 16, 16}, {1, 136, 136}};
  const testing::SharedFolder folder;
  const DatasetName raw = make_raw(folder / "raw.h5", shapes.volume);
  const UNetOptions options = small_network();
  const auto predictor_for = [&](std::int64_t largest) {
    const auto network = make_network(options, 4);
    return TilePredictor(
        std::make_unique<SmallMemory>(make_tile_network(*network, Precision::float32, {}), largest),
        NetworkTraits(options), predictor_options());
  };
  const NetworkTraits traits(options);
  const auto smaller = [&](const TileGrid& tiles) -> std::optional<TileGrid> {
    const auto tile = next_smaller_tile(traits, tiles.tile_input(), shapes.block, shapes.volume, {});
    if (!tile) return std::nullopt;
    return TileGrid(traits.geometry, shapes.volume, *tile, 0);
  };
  PredictionJob job = make_shared_job(raw, folder / "out.h5", shapes, options);
  job.smaller_tiles = smaller;
  Coordinator coordinator(job.blocks.hand_out_order(), {});
  const TilePredictor tight = predictor_for(120);
  run_on_all_ranks(job, tight, coordinator);
  if (world().is_root()) {
    EXPECT_EQ(coordinator.blocks_done(), job.blocks.count());
    const PredictionJob alone = make_job(raw, folder / "alone.h5", shapes, options, true);
    Coordinator own(alone.blocks.hand_out_order(), {});
    LocalBlockExchange exchange(own);
    run_worker(alone, predictor_for(1000), exchange);
    const auto a = voxels_of(folder / "out.h5"), b = voxels_of(folder / "alone.h5");
    int worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      worst = std::max(worst, std::abs(std::to_integer<int>(a[i]) - std::to_integer<int>(b[i])));
    EXPECT_LE(worst, 1);
  }
  // When even the smaller tiles do not fit, the job ends with the reason.
  PredictionJob hopeless = make_shared_job(raw, folder / "none.h5", shapes, options);
  hopeless.smaller_tiles = smaller;
  Coordinator ended(hopeless.blocks.hand_out_order(), {});
  const TilePredictor none = predictor_for(10);
  run_on_all_ranks(hopeless, none, ended);
  if (world().is_root()) {
    EXPECT_NE(ended.failure().find("no room"), std::string::npos) << ended.failure();
    EXPECT_NE(ended.failure().find("infer.memory_budget_mib"), std::string::npos) << ended.failure();
  }
}

/// A network that fails at one call.
class FailsOnce : public TileNetwork {
 public:
  FailsOnce(std::unique_ptr<TileNetwork> network, int at_call, bool for_memory)
      : network_(std::move(network)), at_call_(at_call), for_memory_(for_memory) {}
  at::Tensor logits(const at::Tensor& input) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the next block has been read meanwhile
    if (++calls_ == at_call_) {
      if (for_memory_) throw OutOfMemory("no room");
      throw Error("a kernel failed");
    }
    return network_->logits(input);
  }
  std::string text() const override { return network_->text(); }

 private:
  std::unique_ptr<TileNetwork> network_;
  int at_call_, calls_ = 0;
  bool for_memory_;
};

// As on a GPU: a second block is queued, and either block may fail.
TEST(InferenceRanks, RetriesAQueuedBlockThatFails) {
  const testing::SharedFolder folder;
  const Shapes shapes{{6, 48, 64}, {1, 48, 64}, {1, 16, 16}, {1, 136, 136}};
  const DatasetName raw = make_raw(folder / "raw.h5", shapes.volume);
  if (!world().is_root()) return;
  const UNetOptions options = small_network();
  PredictorOptions what = predictor_options();
  what.blocks_on_device = true;
  std::vector<std::byte> expected;
  std::int64_t shrinks = 0;
  for (int at_call = 0; at_call <= 6; ++at_call) {
    for (const bool for_memory : {false, true}) {
      const auto network = make_network(options, 4);
      const TilePredictor predictor(
          std::make_unique<FailsOnce>(make_tile_network(*network, Precision::float32, {}), at_call,
                                      for_memory),
          NetworkTraits(options), what);
      PredictionJob job =
          make_job(raw, folder / fmt::format("{}{}.h5", at_call, for_memory), shapes, options, true);
      job.smaller_tiles = [&](const TileGrid& tiles) -> std::optional<TileGrid> { return tiles; };
      Coordinator coordinator(job.blocks.hand_out_order(), {});
      LocalBlockExchange exchange(coordinator);
      PredictionTask task(job, predictor);
      run_block_worker(task, exchange);
      shrinks += task.statistics().tile_shrinks;
      EXPECT_EQ(coordinator.blocks_done(), job.blocks.count()) << coordinator.failure();
      const std::vector<std::byte> bytes = voxels_of(job.output.file);
      if (expected.empty()) expected = bytes;
      EXPECT_EQ(bytes, expected) << "call " << at_call << (for_memory ? ", memory" : "");
    }
  }
  EXPECT_GE(shrinks, 1) << "no block is ahead of the first one";
  EXPECT_LT(shrinks, 6) << "smaller tiles are not used when two blocks do not fit";
}

TEST(InferenceRanks, AssignsNothingAfterAStop) {
  const testing::SharedFolder folder;
  const Shapes shapes{{16, 64, 64}, {1, 64, 64}, {1, 64, 64}, {1, 72, 72}};
  const DatasetName raw = make_raw(folder / "raw.h5", shapes.volume);
  const UNetOptions options = small_network();
  const TilePredictor predictor(make_network(options, 4), predictor_options());
  const PredictionJob job = make_shared_job(raw, folder / "out.h5", shapes, options);
  std::int64_t done = 0;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport&) { ++done; };
  hooks.should_stop = [&] { return done >= 1; };
  Coordinator coordinator(job.blocks.hand_out_order(), hooks);
  run_on_all_ranks(job, predictor, coordinator);
  if (!world().is_root()) return;
  EXPECT_TRUE(coordinator.stopped());
  EXPECT_GE(done, 1);
  EXPECT_LT(done, 16);
}

}  // namespace
}  // namespace tessera
