#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "inference_jobs.h"
#include "io/base/error.h"
#include "io/hdf5/checkpoint_file.h"
#include "io/hdf5/volume_file.h"
#include "io/stores/open_volume.h"
#include "pipeline/blocks/coordinator.h"
#include "ranks.h"
#include "workers/blocks/block_worker.h"
#include "workers/mpi/agreement.h"
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

/// Law 3: all ranks together write the same bytes as a single process.
void expect_same_bytes(const Shapes& shapes) {
  const testing::SharedFolder folder;
  const DatasetName raw = make_raw(folder / "raw.h5", shapes.volume);
  const UNetOptions options = small_network();
  const TilePredictor predictor(make_network(options, 4), predictor_options());
  const PredictionJob job = make_shared_job(raw, folder / "together.h5", shapes, options);
  std::multiset<std::int64_t> done;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport& report) { done.insert(report.id); };
  Coordinator coordinator(job.blocks.hand_out_order(), hooks);
  run_on_all_ranks(job, predictor, coordinator);
  if (!world().is_root()) return;
  std::multiset<std::int64_t> every;
  for (std::int64_t id = 0; id < job.blocks.count(); ++id)
    every.insert(id);
  EXPECT_EQ(done, every) << "each block is done exactly once";
  EXPECT_EQ(coordinator.accounts().size(), static_cast<std::size_t>(std::max(1, world().size() - 1)));

  const PredictionJob alone = make_job(raw, folder / "alone.h5", shapes, options, true);
  Coordinator own(alone.blocks.hand_out_order(), {});
  LocalBlockExchange exchange(own);
  const WorkerStatistics told = run_worker(alone, predictor, exchange);
  // The blocks after the start give the worker's rate.
  const bool has_more = told.blocks >= WorkerStatistics::kStartBlocks;
  EXPECT_EQ(told.start_s > 0, has_more);
  EXPECT_LE(told.start_s, told.elapsed_s);
  EXPECT_EQ(told.start_voxels > 0 && told.start_voxels <= told.voxels, has_more);
  const auto together = voxels_of(folder / "together.h5");
  EXPECT_EQ(together, voxels_of(folder / "alone.h5"));
  const std::set<std::byte> values(together.begin(), together.end());
  EXPECT_GT(values.size(), together.size() > 1 ? 3U : 0U)
      << "the prediction is constant, so the test shows nothing";
}

TEST(InferenceRanks, ManyBlocks) {
  expect_same_bytes({{5, 101, 133}, {2, 32, 48}, {2, 16, 16}, {1, 72, 72}});
}
TEST(InferenceRanks, FewerBlocksThanRanks) {
  expect_same_bytes({{2, 60, 60}, {2, 64, 64}, {2, 32, 32}, {1, 104, 104}});
}
TEST(InferenceRanks, OneVoxel) {
  expect_same_bytes({{1, 1, 1}, {1, 4, 4}, {1, 1, 1}, {1, 44, 44}});
}

/// The 8 symmetries over a region at an arbitrary position, with one block of background. All ranks together
/// give the same bytes as the cropped prediction of the whole volume by one process, and 0 in the background.
TEST(InferenceRanks, SymmetriesOfARegionWithBackground) {
  const testing::SharedFolder folder;
  const Index3 volume{4, 101, 133};
  const Box region{{1, 13, 22}, {4, 90, 101}}, dark{{1, 13, 22}, {2, 45, 54}};
  const DatasetName raw{folder / "raw.h5", "/volumes/raw"};
  on_root(world(), [&] {
    VolumeFile out(folder / "raw.h5", false);
    VolumeSpec spec;
    spec.shape = volume;
    spec.chunk = {2, 32, 48};
    spec.gzip = 1;
    out.add(spec, false);
    VoxelBuffer voxels(VoxelType::uint8, volume);
    std::uint32_t state = 7;
    for (std::int64_t i = 0; i < volume_of(volume); ++i) {
      state = state * 1664525U + 1013904223U;
      const Index3 at{i / (volume.y * volume.x), i / volume.x % volume.y, i % volume.x};
      const bool inside = dark.contains({at, at + Index3{1, 1, 1}});
      voxels.as<std::uint8_t>()[static_cast<std::size_t>(i)] =
          inside ? 2 : static_cast<std::uint8_t>(10 + (state >> 24) % 240);
    }
    out.write_sections(spec.path, 0, voxels);
    out.commit();
  });
  const UNetOptions options = small_network();
  PredictorOptions what = predictor_options();
  what.averaging = Averaging::symmetries8;
  const TilePredictor predictor(make_network(options, 4), what);
  const auto job_over = [&](const Box& part, const std::filesystem::path& output, bool create) {
    const Index3 chunk{1, 16, 16};
    OutputLayout layout{0, VoxelType::uint8, part.shape(), chunk};
    if (create) {
      OutputVolumeSpec spec;
      spec.name = {output, "/volumes/predictions/interior"};
      spec.shape = part.shape();
      spec.chunk = chunk;
      layout = create_output_volume(spec);
    }
    return PredictionJob{raw,
                         BlockPlan::of_region(part, {1, 32, 32}),
                         TileGrid(geometry_of(options), volume, {1, 72, 72}, 0),
                         {output, "/volumes/predictions/interior"},
                         layout};
  };
  PredictionJob job = job_over(region, folder / "region.h5", false);
  on_root(world(), [&] { job = job_over(region, folder / "region.h5", true); });
  world().broadcast(std::as_writable_bytes(std::span(&job.layout.base, 1)));
  job.skip.background = {0.0, 5.0};
  job.unpack_threads = 2;
  std::int64_t skipped = 0;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport& report) {
    skipped += report.outcome == BlockOutcome::skipped ? 1 : 0;
  };
  Coordinator coordinator(job.blocks.hand_out_order(), hooks);
  run_on_all_ranks(job, predictor, coordinator);
  if (!world().is_root()) return;
  EXPECT_EQ(skipped, 1);
  EXPECT_EQ(coordinator.blocks_skipped(), 1);

  const PredictionJob alone = job_over(Box::of_shape(volume), folder / "alone.h5", true);
  Coordinator own(alone.blocks.hand_out_order(), {});
  LocalBlockExchange exchange(own);
  run_worker(alone, predictor, exchange);
  const auto whole = open_volume({folder / "alone.h5", "/volumes/predictions/interior"}),
             part = open_volume({folder / "region.h5", "/volumes/predictions/interior"});
  const auto expected = whole->read(region), got = part->read(Box::of_shape(region.shape()));
  int compared = 0, zeros = 0;
  for (std::size_t i = 0; i < got.bytes.size(); ++i) {
    const auto n = static_cast<std::int64_t>(i);
    const Index3 shape = region.shape(), at{n / (shape.y * shape.x), n / shape.x % shape.y, n % shape.x};
    const Index3 place = region.begin + at;
    if (dark.contains({place, place + Index3{1, 1, 1}})) {
      zeros += got.bytes[i] == std::byte{0} ? 1 : 0;
    } else {
      ASSERT_LE(std::abs(std::to_integer<int>(got.bytes[i]) - std::to_integer<int>(expected.bytes[i])), 1)
          << to_string(place);
      ++compared;
    }
  }
  EXPECT_EQ(zeros, dark.voxels());
  EXPECT_EQ(compared, region.voxels() - dark.voxels());
}

/// Law 2 on all ranks together: 4 tile sizes, 3 block sizes, both network presets, the 8 symmetries. The
/// reference is the network applied once to each whole section.
TEST(InferenceRanks, EveryTilingEqualsTheWholeSection) {
  const testing::SharedFolder folder;
  const Index3 volume{2, 70, 93};
  const DatasetName raw = make_raw(folder / "raw.h5", volume);
  int tried = 0;
  for (const bool same : {false, true}) {
    UNetOptions options = same ? keras_same_options() : unet2015_options();
    options.base_filters = 2;
    options.depth = 2;
    PredictorOptions what = predictor_options();
    what.averaging = Averaging::symmetries8;
    what.output_type = VoxelType::float32;
    what.blocks_on_device = same;  // on a GPU's code path, a second block is queued
    const TilePredictor predictor(make_network(options, 4), what);
    const NetworkGeometry geometry = geometry_of(options);
    const VoxelBuffer voxels = open_volume(raw)->read(Box::of_shape(volume));
    std::vector<float> whole;
    for (std::int64_t z = 0; z < volume.z; ++z) {
      const Tile tile = whole_section_tile(geometry, volume, z, 0);
      const VoxelBuffer section =
          predictor.predict(voxels, Box::of_shape(volume), volume, {tile}, tile.core, {});
      whole.insert(whole.end(), section.as<float>().begin(), section.as<float>().end());
    }
    for (const std::int64_t core : {16, 24, 40, 96}) {
      for (const Index3& block : {Index3{1, 32, 48}, Index3{2, 48, 96}, Index3{1, 96, 96}}) {
        const std::int64_t side = geometry.input_side_for(core);
        const auto file = folder / fmt::format("{}_{}_{}.h5", same, core, block.y);
        const auto job_with = [&](bool create) {
          OutputVolumeSpec spec;
          spec.name = {file, "/volumes/predictions/interior"};
          spec.type = VoxelType::float32;
          spec.shape = volume;
          spec.chunk = {1, 16, 16};
          OutputLayout layout{0, spec.type, volume, spec.chunk};
          if (create) layout = create_output_volume(spec);
          return PredictionJob{raw,
                               BlockPlan(volume, block),
                               TileGrid(geometry, volume, {1, side, side}, 0),
                               {file, "/volumes/predictions/interior"},
                               layout};
        };
        PredictionJob job = job_with(false);
        on_root(world(), [&] { job = job_with(true); });
        world().broadcast(std::as_writable_bytes(std::span(&job.layout.base, 1)));
        Coordinator coordinator(job.blocks.hand_out_order(), {});
        run_on_all_ranks(job, predictor, coordinator);
        ++tried;
        if (!world().is_root()) continue;
        const std::vector<std::byte> bytes = voxels_of(file);
        ASSERT_EQ(bytes.size(), whole.size() * sizeof(float));
        double worst = 0;
        for (std::size_t i = 0; i < whole.size(); ++i) {
          float value = 0;
          std::memcpy(&value, bytes.data() + i * sizeof(float), sizeof(float));
          worst = std::max(worst, static_cast<double>(std::abs(value - whole[i])));
        }
        EXPECT_LE(worst, 1e-5) << (same ? "same " : "valid ") << side << " " << to_string(block);
      }
    }
  }
  EXPECT_EQ(tried, 24);
}

}  // namespace
}  // namespace tessera
