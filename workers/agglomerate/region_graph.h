#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "workers/agglomerate/linkage.h"

namespace tessera {

/// Regions (supervoxels) and the bundles of voxel edges between them. A region is known by its row.
struct RegionGraph {
  std::vector<std::uint64_t> name;  ///< of each row: its smallest linear voxel index; rising
  std::vector<std::uint64_t> size;  ///< voxels of each row

  // Of each bundle:
  std::vector<std::uint32_t> a, b;    ///< rows, a < b; a pair of rows may occur several times
  std::vector<std::uint64_t> sum;     ///< of the voxel edges' weights, 0 to 65535 each; below 2^56
  std::vector<std::uint64_t> count;   ///< of voxel edges, above 0
  std::vector<std::uint16_t> saddle;  ///< the largest weight
  std::vector<std::uint64_t> edge;    ///< the smallest id of a voxel edge of that weight; may be empty
  /// Of bundle i the bins [bin_begin[i], bin_begin[i + 1]) of `bins`, rising. Needed for quantiles; else both
  /// may be empty.
  std::vector<std::uint64_t> bin_begin;
  std::vector<HistogramBin> bins;

  std::size_t rows() const { return name.size(); }
  std::size_t bundles() const { return a.size(); }
  std::span<const HistogramBin> bins_of(std::size_t bundle) const {
    return std::span(bins).subspan(bin_begin[bundle], bin_begin[bundle + 1] - bin_begin[bundle]);
  }
};

/// Errors: Error that names the first row or bundle that breaks a rule of RegionGraph, or a missing histogram
/// that `linkage` needs. `rows`: of the whole graph, of which `graph` may hold a share of the bundles.
void require_valid_bundles(const RegionGraph& graph, std::uint64_t rows, Linkage linkage);
/// The same, and the rules of names and sizes.
void require_valid(const RegionGraph& graph, Linkage linkage);

}  // namespace tessera
