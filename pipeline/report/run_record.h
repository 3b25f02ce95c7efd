#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/config_keys.h"
#include "pipeline/evaluate/evaluation_json.h"
#include "pipeline/report/metrics_table.h"

namespace tessera {

/// A picture written by `evaluate`.
struct SectionPicture {
  std::int64_t section = 0;
  bool first = false, worst = false, best = false;
  std::int64_t height = 0, width = 0;
  std::vector<std::byte> png;
};

/// The content of a run's files, as far as they exist and can be read.
struct RunRecord {
  std::string name;             ///< of the experiment (and volume), else of the folder or file
  std::filesystem::path place;  ///< the run folder, or the evaluation's file
  std::vector<ConfigKey> training_config, inference_config;  ///< config.yaml, inference.yaml
  std::vector<ConfigKey> segmentation_config;                ///< segmentation.yaml
  std::string version;                                       ///< "tessera 0.1.0"
  MetricsTable metrics;
  Json training, inference, evaluation;                        ///< null where the file is missing or damaged
  Json segmentation, object_evaluation, graph_evaluation;      ///< the same
  std::string training_time, inference_time, evaluation_time;  ///< when the files were written, UTC
  std::vector<SectionPicture> pictures;                        ///< those that belong to `evaluation`
  std::vector<std::string> problems;  ///< messages about files that could not be read

  /// The value of a key: that of the training for `data`, `model` and `train`, that of the segmentation for
  /// `segment`, else that of the inference. Where that file is missing, of the first one that has the key.
  std::string config(const std::string& key) const;
  /// The union of both configs, keys in their order.
  std::vector<ConfigKey> all_config() const;
  bool has_inference() const { return inference.is_object(); }
  bool has_evaluation() const { return evaluation.is_object(); }
  bool has_objects() const {
    return segmentation.is_object() || object_evaluation.is_object() || graph_evaluation.is_object();
  }
};

/// Notes in `problems` what is incomplete: a result that `record` names and whose file exists, or its scores.
/// Errors: UsageError for it, unless `allowed`.
void require_complete_results(RunRecord& record, bool allowed);

/// `argument`: a run folder, the experiment of one (FILE.yaml), or a file that `evaluate --json` wrote.
/// Damaged files are listed in `problems`. Errors: UsageError when there is no file of a run.
RunRecord read_run(const std::string& argument);

/// A volume's run folder inside that of an experiment with many.
struct VolumeFolder {
  std::string name;
  std::filesystem::path folder;
};

/// The run folder that read_run() would read; empty for an evaluation's file. Errors: UsageError.
std::filesystem::path run_folder_of(const std::string& argument);
/// The folders of `run_folder`'s volumes that hold files of a run, sorted.
std::vector<VolumeFolder> volume_folders(const std::filesystem::path& run_folder);
/// Whether train, infer, segment or evaluate wrote into this very folder.
bool holds_run(const std::filesystem::path& run_folder);

/// Reads height and width of a PNG and checks that it is complete. Errors: Error.
void require_whole_png(SectionPicture& picture, const std::string& name);

}  // namespace tessera
