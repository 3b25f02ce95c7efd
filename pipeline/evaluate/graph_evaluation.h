#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/graph_file.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "workers/agglomerate/stage_scores.h"

namespace tessera {

/// The supervoxels and the tree of a graph file, checked.
struct SupervoxelTree {
  /// Errors: Error where the file's tree is none.
  SupervoxelTree(const GraphFile& file, const std::string& name);
  /// A tree of the stages that these thresholds make, rising in number as they fall in [0, 1], of a file with
  /// the sums of its merges. Errors: UsageError for another file; Error.
  SupervoxelTree(const GraphFile& file, const std::string& name,
                 const std::vector<double>& falling_thresholds);

  std::vector<std::uint64_t> ids, sizes;  ///< of the supervoxels, by rising id
  MergeTree tree;
  /// Of each stage of the tree, from 1.
  struct Stage {
    std::string kind;                 ///< such as "mean", "link", "small"
    std::optional<double> threshold;  ///< in [0, 1]
  };
  std::vector<Stage> stages;
};

/// The supervoxels that belong to `NAME.graph.h5`: those of NAME.supervoxels.h5, where that file exists, else
/// NAME.h5:/volumes/labels/supervoxels. Errors: UsageError for a file with another ending; Error.
DatasetName supervoxels_of_graph(const std::filesystem::path& graph);

/// The scores of every stage of a merge tree.
struct GraphEvaluation {
  EvaluationRequest request;  ///< `prediction` are the supervoxels
  std::filesystem::path graph;
  SectionRange sections;
  PixelBounds bounds;                                ///< of each section
  std::vector<SupervoxelTree::Stage> named;          ///< the stages from 1
  std::vector<StageScores> stages;                   ///< from 0: the supervoxels
  std::optional<std::uint32_t> best_voi, best_rand;  ///< stages; none: every score is undefined
  SplitsAndMerges objects;                           ///< at best_voi
  /// What the run removed from its objects and the scores still have, such as "objects of fewer than 100
  /// voxels (segment.min_size)".
  std::vector<std::string> not_removed;
  std::int64_t table_pairs = 0;  ///< pairs of labels found, summed over the ranks
  EvaluationRun run;

  /// "supervoxels", "mean 0.95", "link".
  std::string name_of_stage(std::uint32_t stage) const;
};

/// Collective. Counts the pairs of supervoxel and true label in one pass over the voxels, and scores every
/// stage of the tree from them. `thresholds`: stages instead of the file's own; needs the sums of the merges.
/// The result (all but `run`) is the same on every rank and for any number of ranks, and the scores of a
/// stage are those of evaluate_labels() on its objects. The root writes the JSON file of the request. Errors,
/// on every rank: UsageError, also where `segment` wrote the supervoxels for another graph; Error.
GraphEvaluation evaluate_graph(const EvaluationRequest& request, const std::filesystem::path& graph,
                               const std::optional<int>& thresholds, const Communicator& world);

/// Tables as text, and all scores as JSON (docs/agglomeration.md).
std::string evaluation_text(const GraphEvaluation& evaluation);
std::string evaluation_json(const GraphEvaluation& evaluation);

}  // namespace tessera
