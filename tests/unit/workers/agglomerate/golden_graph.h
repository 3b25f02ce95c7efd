#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/hdf5/graph_file.h"
#include "io/stores/open_volume.h"
#include "workers/segment/graph_tables.h"

namespace tessera::testing {

/// What tests/golden/make_agglomeration.py wrote.
struct GoldenGraph {
  explicit GoldenGraph(const std::string& name)
      : file(read_graph_file(folder() + name + ".graph.h5")),
        expected(nlohmann::json::parse(std::ifstream(folder() + name + ".json"))),
        supervoxels(labels(name, "supervoxels")),
        cells(labels(name, "cells")),
        graph(region_graph_of(file)) {}

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
