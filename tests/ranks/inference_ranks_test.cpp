#include <algorithm>
#include <numeric>
#include <set>

#include "io/checkpoint_file.h"
#include "io/error.h"
#include "io/volume_file.h"
#include "io/volume_reader.h"
#include "pipeline/coordinator.h"
#include "ranks.h"
#include "workers/infer/inference_worker.h"
#include "workers/mpi/agree.h"
#include "workers/network/network_checkpoint.h"

namespace tessera {
namespace {

const Communicator& world() { return *testing::world_of_tests; }

struct Shapes {
  Index3 volume, block, chunk, tile;
};

/// Noise in an HDF5 file, written by the root.
DatasetName make_raw(const std::filesystem::path& file, const Index3& shape) {
  on_root(world(), [&] {
    VolumeFile out(file, false);
    VolumeSpec spec;
    spec.shape = shape;
    spec.chunk = {2, 32, 48};
    spec.gzip = 1;
    out.add(spec, false);
    VoxelBuffer voxels(VoxelType::uint8, shape);
    std::uint32_t state = 99;
    for (std::uint8_t& v : voxels.as<std::uint8_t>()) v = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
    out.write_sections(spec.path, 0, voxels);
    out.commit();
  });
  return {file, "/volumes/raw"};
}

PredictorOptions predictor_options() {
  PredictorOptions options;
  options.normalisation = {128, 70};
  options.device.threads = 1;
  return options;
}

InferenceJob make_job(const DatasetName& raw, const std::filesystem::path& output, const Shapes& shapes,
                      const UNetOptions& network, bool create) {
  OutputLayout layout{0, VoxelType::uint8, shapes.volume, shapes.chunk};
  if (create) {
    OutputVolumeSpec spec;
    spec.name = {output, "/volumes/predictions/interior"};
    spec.shape = shapes.volume;
    spec.chunk = shapes.chunk;
    layout = create_output_volume(spec);
  }
  return {raw, BlockPlan(shapes.volume, shapes.block), TileGrid(geometry_of(network), shapes.volume, shapes.tile, 0), output, layout};
}

/// Collective: the root creates the result, and every rank learns where its chunks lie.
InferenceJob make_shared_job(const DatasetName& raw, const std::filesystem::path& output, const Shapes& shapes,
                             const UNetOptions& network) {
  InferenceJob job = make_job(raw, output, shapes, network, false);
  on_root(world(), [&] { job = make_job(raw, output, shapes, network, true); });
  world().broadcast(std::as_writable_bytes(std::span(&job.layout.base, 1)));
  return job;
}

/// Collective: what `tessera infer` does with a job.
void run_on_all_ranks(const InferenceJob& job, const TilePredictor& predictor, Coordinator& coordinator) {
  if (world().size() == 1) {
    LocalBlockExchange exchange(coordinator);
    run_inference_worker(job, predictor, exchange);
  } else if (world().is_root()) {
    serve_workers(world(), coordinator);
  } else {
    MpiBlockExchange exchange(world());
    run_inference_worker(job, predictor, exchange);
  }
}

std::vector<std::byte> voxels_of(const std::filesystem::path& file) {
  VolumeReader reader({file, "/volumes/predictions/interior"});
  return reader.read(Box::of_shape(reader.info().shape)).bytes;
}

UNetOptions small_network() {
  UNetOptions options;
  options.base_filters = 2;
  options.depth = 2;
  return options;
}

/// Law 3: the same bytes from all ranks together as from one process alone.
void expect_same_bytes(const Shapes& shapes) {
  const testing::SharedFolder folder;
  const DatasetName raw = make_raw(folder / "raw.h5", shapes.volume);
  const UNetOptions options = small_network();
  const TilePredictor predictor(make_network(options, 4), predictor_options());
  const InferenceJob job = make_shared_job(raw, folder / "together.h5", shapes, options);
  std::multiset<std::int64_t> done;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport& report) { done.insert(report.id); };
  Coordinator coordinator(job.blocks.hand_out_order(), hooks);
  run_on_all_ranks(job, predictor, coordinator);
  if (!world().is_root()) return;
  std::multiset<std::int64_t> every;
  for (std::int64_t id = 0; id < job.blocks.count(); ++id) every.insert(id);
  EXPECT_EQ(done, every) << "each block is done exactly once";
  EXPECT_EQ(coordinator.statistics().size(), static_cast<std::size_t>(std::max(1, world().size() - 1)));

  const InferenceJob alone = make_job(raw, folder / "alone.h5", shapes, options, true);
  Coordinator own(alone.blocks.hand_out_order(), {});
  LocalBlockExchange exchange(own);
  run_inference_worker(alone, predictor, exchange);
  const auto together = voxels_of(folder / "together.h5");
  EXPECT_EQ(together, voxels_of(folder / "alone.h5"));
  const std::set<std::byte> values(together.begin(), together.end());
  EXPECT_GT(values.size(), together.size() > 1 ? 3U : 0U) << "the prediction is flat and shows nothing";
}

TEST(InferenceRanks, ManyBlocks) { expect_same_bytes({{5, 101, 133}, {2, 32, 48}, {2, 16, 16}, {1, 72, 72}}); }
TEST(InferenceRanks, FewerBlocksThanRanks) { expect_same_bytes({{2, 60, 60}, {2, 64, 64}, {2, 32, 32}, {1, 104, 104}}); }
TEST(InferenceRanks, OneVoxel) { expect_same_bytes({{1, 1, 1}, {1, 4, 4}, {1, 1, 1}, {1, 44, 44}}); }

TEST(InferenceRanks, StoppingHandsOutNothingMore) {
  const testing::SharedFolder folder;
  const Shapes shapes{{16, 64, 64}, {1, 64, 64}, {1, 64, 64}, {1, 72, 72}};
  const DatasetName raw = make_raw(folder / "raw.h5", shapes.volume);
  const UNetOptions options = small_network();
  const TilePredictor predictor(make_network(options, 4), predictor_options());
  const InferenceJob job = make_shared_job(raw, folder / "out.h5", shapes, options);
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
