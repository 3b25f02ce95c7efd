#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "io/hdf5/volume_file.h"
#include "io/stores/open_volume.h"
#include "pipeline/blocks/coordinator.h"
#include "ranks.h"
#include "workers/blocks/block_worker.h"
#include "workers/infer/prediction_task.h"
#include "workers/mpi/agreement.h"
#include "workers/network/unet.h"

/// Small predictions by all ranks, for the tests of inference.
namespace tessera::testing {

/// Of a prediction by all ranks.
struct Shapes {
  Index3 volume, block, chunk, tile;
};

/// Random voxels in an HDF5 file, written by the root.
inline DatasetName make_raw(const std::filesystem::path& file, const Index3& shape) {
  on_root(world(), [&] {
    VolumeFile out(file, false);
    VolumeSpec spec;
    spec.shape = shape;
    spec.chunk = {2, 32, 48};
    spec.gzip = 1;
    out.add(spec, false);
    VoxelBuffer voxels(VoxelType::uint8, shape);
    std::uint32_t state = 99;
    for (std::uint8_t& v : voxels.as<std::uint8_t>())
      v = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
    out.write_sections(spec.path, 0, voxels);
    out.commit();
  });
  return {file, "/volumes/raw"};
}

inline PredictorOptions predictor_options() {
  PredictorOptions options;
  options.normalisation = {128, 70};
  options.device.threads = 1;
  return options;
}

inline PredictionJob make_job(const DatasetName& raw, const std::filesystem::path& output,
                              const Shapes& shapes, const UNetOptions& network, bool create) {
  OutputLayout layout{0, VoxelType::uint8, shapes.volume, shapes.chunk};
  if (create) {
    OutputVolumeSpec spec;
    spec.name = {output, "/volumes/predictions/interior"};
    spec.shape = shapes.volume;
    spec.chunk = shapes.chunk;
    layout = create_output_volume(spec);
  }
  return {raw,
          BlockPlan(shapes.volume, shapes.block),
          TileGrid(geometry_of(network), shapes.volume, shapes.tile, 0),
          {output, "/volumes/predictions/interior"},
          layout};
}

/// Collective. The root creates the result, and every rank learns the file offsets of its chunks.
inline PredictionJob make_shared_job(const DatasetName& raw, const std::filesystem::path& output,
                                     const Shapes& shapes, const UNetOptions& network) {
  PredictionJob job = make_job(raw, output, shapes, network, false);
  on_root(world(), [&] { job = make_job(raw, output, shapes, network, true); });
  world().broadcast(std::as_writable_bytes(std::span(&job.layout.base, 1)));
  return job;
}

/// The work of a worker in `tessera infer`.
inline WorkerStatistics run_worker(const PredictionJob& job, const TilePredictor& predictor,
                                   BlockExchange& exchange) {
  PredictionTask task(job, predictor);
  return run_block_worker(task, exchange);
}

/// Collective. The work of `tessera infer` on a job.
inline void run_on_all_ranks(const PredictionJob& job, const TilePredictor& predictor,
                             Coordinator& coordinator) {
  if (world().size() == 1) {
    LocalBlockExchange exchange(coordinator);
    run_worker(job, predictor, exchange);
  } else if (world().is_root()) {
    serve_workers(world(), coordinator);
  } else {
    MpiBlockExchange exchange(world());
    run_worker(job, predictor, exchange);
  }
}

inline std::vector<std::byte> voxels_of(const std::filesystem::path& file) {
  const auto volume = open_volume({file, "/volumes/predictions/interior"});
  return volume->read(Box::of_shape(volume->info().shape)).bytes;
}

inline UNetOptions small_network() {
  UNetOptions options;
  options.base_filters = 2;
  options.depth = 2;
  return options;
}

}  // namespace tessera::testing
