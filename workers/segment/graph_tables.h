#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "io/hdf5/graph_file.h"
#include "workers/agglomerate/region_graph.h"
#include "workers/segment/graph_stage.h"

namespace tessera {

/// Collective. Writes the graph of fragments, the tree of merges and the objects to an HDF5 file, which
/// appears when it is complete: /supervoxels, /bundles, /tree and /objects (docs/files.md). `voxels`: of the
/// region. Greedy merges have /tree/sum and count too. Errors: AgreedError.
void write_graph_tables(const std::filesystem::path& file, const GraphResult& graph, const ObjectIds& ids,
                        MergeLinkage linkage, std::uint64_t voxels,
                        const std::map<std::string, std::string>& attributes, const Communicator& world);

/// The fragments of such a file and the bundles between them.
RegionGraph region_graph_of(const GraphFile& file);

}  // namespace tessera
