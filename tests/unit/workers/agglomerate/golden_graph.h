#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/hdf5/graph_file.h"
#include "io/stores/open_volume.h"
#include "workers/agglomerate/region_graph.h"

namespace tessera::testing {

/// What tests/golden/make_agglomeration.py wrote.
struct GoldenGraph {
  explicit GoldenGraph(const std::string& name)
      : file(read_graph_file(folder() + name + ".graph.h5")),
        expected(nlohmann::json::parse(std::ifstream(folder() + name + ".json"))),
        supervoxels(labels(name, "supervoxels")),
        cells(labels(name, "cells")) {
    for (const std::uint64_t id : file.supervoxel_id)
      graph.name.push_back(id - 1);
    graph.size = file.supervoxel_size;
    graph.a.assign(file.bundle_a.begin(), file.bundle_a.end());
    graph.b.assign(file.bundle_b.begin(), file.bundle_b.end());
    graph.sum = file.bundle_sum;
    graph.count = file.bundle_count;
    graph.saddle.assign(file.bundle_saddle.begin(), file.bundle_saddle.end());
    graph.edge = file.bundle_edge;
  }

  GraphFile file;
  nlohmann::json expected;
  std::vector<std::uint64_t> supervoxels, cells;
  RegionGraph graph;

 private:
  static std::string folder() { return std::string(TESSERA_GOLDEN) + "/agglomeration/"; }
  static std::vector<std::uint64_t> labels(const std::string& name, const std::string& path) {
    const auto volume = open_labels({folder() + name + ".h5", "/volumes/labels/" + path});
    const VoxelBuffer voxels = volume->read({{0, 0, 0}, volume->info().shape});
    if (voxels.type == VoxelType::uint32)
      return {voxels.as<std::uint32_t>().begin(), voxels.as<std::uint32_t>().end()};
    return {voxels.as<std::uint64_t>().begin(), voxels.as<std::uint64_t>().end()};
  }
};

}  // namespace tessera::testing
