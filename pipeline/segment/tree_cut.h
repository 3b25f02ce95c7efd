#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/hdf5/graph_file.h"
#include "pipeline/config/segment_config.h"
#include "pipeline/evaluate/graph_evaluation.h"
#include "pipeline/segment/segmentation_plan.h"

namespace tessera {

/// The supervoxels, their bundles and the merge tree of a finished graph stage.
class StoredGraph {
 public:
  /// Reads NAME.graph.h5. Errors: UsageError where the file is missing, or is not of the first pass with this
  /// instance; Error.
  StoredGraph(const std::filesystem::path& file, const std::string& first_pass_instance);

  const GraphFile& file() const { return file_; }
  const SupervoxelTree& supervoxels() const { return supervoxels_; }
  const std::string& name() const { return name_; }
  /// The job of the run that made it.
  JobDescription job() const;
  /// The thresholds of its stages, falling.
  std::vector<double> thresholds() const;

 private:
  std::string name_;
  GraphFile file_;
  SupervoxelTree supervoxels_;
};

/// The thresholds of a run that ends at `cut` and has the same objects as the tree at that threshold. Errors:
/// UsageError where the tree cannot be cut there.
std::vector<double> thresholds_of_cut(const StoredGraph& graph, const SegmentConfig& config, SegmentMode mode,
                                      double cut);

/// Objects of supervoxels.
struct TreeCut {
  std::vector<std::uint64_t> object;  ///< the id of each row's object; 0 where it is smaller than `min_size`
  std::int64_t objects = 0;           ///< without removed ones
};
/// The objects at config.threshold, which thresholds_of_cut() allows: with the merges of small objects, sizes
/// and ids that `config` asks for. Errors: Error where the graph breaks a rule.
TreeCut cut_tree(const StoredGraph& graph, const SegmentConfig& config);

/// Writes the tables of objects of every block, from those of supervoxels. `digest`: of the tables. Errors:
/// Error.
void write_cut_tables(const SegmentJob& job, const StoredGraph& graph, const TreeCut& cut,
                      const std::string& digest);

/// The journal of a complete first pass of this job, in the folder of graph files. Errors: UsageError when
/// it is missing or incomplete.
JournalContents finished_first_pass(const std::filesystem::path& folder, const JobDescription& job);

/// Whether the tables of supervoxels exist, are whole, and have this digest.
bool has_supervoxel_tables(const std::filesystem::path& file, const std::string& digest);
/// Errors: UsageError where the tables of supervoxels are missing, damaged, or have another digest.
void require_supervoxel_tables(const std::filesystem::path& file, const std::string& digest);
/// Errors: UsageError where the job of the tree and this one differ in more than a cut can change.
void require_same_tree(const StoredGraph& graph, const JobDescription& job);
/// Whether the jobs of two results differ in nothing but what a cut of one tree can change.
bool are_of_one_tree(const JobDescription& then, const JobDescription& now);

}  // namespace tessera
