/// The rates of the two passes of `tessera segment` on one block and one core, without files. The block is
/// computed three times; the last time has the rates of a worker, whose memory the system has given already.
/// Usage: bench_segmentation FILE.h5:/prediction [sections]

#include <fmt/format.h>
#include <malloc.h>

#include <cstdio>
#include <ctime>
#include <string>

#include "io/stores/open_volume.h"
#include "workers/segment/block_graph_builder.h"
#include "workers/segment/relabelling.h"

namespace tessera {
namespace {

/// The processor time of this process, which other programs do not change much.
double seconds_now() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

/// Prints the rate of a step, and returns the time now.
double told(const char* step, double begin_s, std::int64_t voxels) {
  const double now_s = seconds_now();
  fmt::print("{:<12} {:7.3f} s {:8.1f} Mvoxel/s\n", step, now_s - begin_s,
             static_cast<double>(voxels) / 1e6 / (now_s - begin_s));
  return now_s;
}

void measure(const std::string& name, SegmentMode mode) {
  const auto volume = open_volume(parse_dataset_name(name));
  const Index3 shape = volume->info().shape;
  const Box all = Box::of_shape(shape);
  const VoxelBuffer values = volume->read(all);
  const std::int64_t voxels = all.voxels();
  BlockGraphOptions options;
  options.mode = mode;
  options.saturated = weight_of_probability(0.995);
  options.fragment_size = mode == SegmentMode::sections ? 100 : 300;
  const double begin_s = seconds_now();
  const BlockWeights weights = block_weights(values, nullptr, all, shape, {}, options);
  double now_s = told("weights", begin_s, voxels);
  const BlockPieces pieces = find_basin_pieces(weights, options);
  now_s = told("pieces", now_s, voxels);
  const BlockGraph graph = build_block_graph(weights, pieces, options);
  told("graph", now_s, voxels);
  now_s = told("first pass", begin_s, voxels);
  const std::vector<std::uint64_t> ids(pieces.name.begin(), pieces.name.end());
  relabelled_block(all, pieces, ids, &weights, 0, VoxelType::uint64);
  told("relabelling", now_s, voxels);
  fmt::print("{} pieces, {} clusters, {} bundles\n", pieces.name.size(), graph.name.size(),
             graph.bundles.a.size());
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  // Memory that is freed stays with the process.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  if (argc < 2) {
    std::puts("usage: bench_segmentation FILE.h5:/prediction [sections]");
    return 2;
  }
  const bool sections = argc > 2 && std::string(argv[2]) == "sections";
  for (int time = 0; time < 3; ++time)
    tessera::measure(argv[1], sections ? tessera::SegmentMode::sections : tessera::SegmentMode::volume);
  return 0;
}
