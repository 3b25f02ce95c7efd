#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/block_plan.h"
#include "io/dataset_name.h"
#include "io/voxel_type.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/network/unet_options.h"
#include "workers/train/trainer.h"
#include "workers/train/training_data.h"

namespace tessera {

/// `data:` the annotated volume.
struct DataConfig {
  std::optional<DatasetName> raw, labels;
  std::optional<Sections> train_sections, validation_sections;
};

/// `train:`
struct TrainConfig {
  TrainerOptions trainer;
  bool tile_auto = true;
  std::int64_t iterations = 4000;
  double minutes = 0;  ///< 0: no limit
  int threads = 0;     ///< 0: automatic
  std::int64_t validate_every = 200, checkpoint_every = 200, keep_checkpoints = 3;
};

/// `infer:`
struct InferConfig {
  std::optional<DatasetName> raw, output;
  std::string checkpoint = "best";                ///< best, latest or a file
  std::optional<Index3> tile, block, chunk;       ///< none: automatic; z of `tile` is 1
  std::optional<Precision> precision;             ///< none: automatic
  std::int64_t output_class = 1;
  VoxelType type = VoxelType::uint8;
  int threads = 0;
  std::int64_t memory_budget = 0;                 ///< bytes per worker for activations; 0: automatic
};

/// `evaluate:` what is not said comes from `data` and `infer`.
struct EvaluateConfig {
  std::optional<DatasetName> prediction, labels;
  std::optional<Sections> sections;
  int thresholds = 11;
  bool invert_labels = false;
};

/// `slurm:` what job scripts need; empty texts are left to the cluster's defaults.
struct SlurmConfig {
  std::string partition, account, time, memory, constraint;
  std::int64_t nodes = 1, gpus_per_node = 0, tasks_per_node = 0;
};

/// One experiment file, checked.
struct ExperimentConfig {
  std::string name;
  std::filesystem::path run_folder;
  std::string device = "auto";
  DataConfig data;
  std::string preset = "unet2015";
  UNetOptions model;
  bool model_given = false;  ///< whether the file says anything of it
  TrainConfig train;
  InferConfig infer;
  EvaluateConfig evaluate;
  SlurmConfig slurm;
  std::string resolved_yaml;  ///< every key with its value, defaults filled in
};

/// What a verb needs the file to say.
struct ConfigNeeds {
  bool training = false, inference = false;
};

/// Reads and checks an experiment. Errors: UsageError with every problem, one a line, at its place.
ExperimentConfig parse_experiment(const std::string& text, const std::string& file,
                                  const std::vector<std::string>& overrides, const ConfigNeeds& needs);

/// Collective. The root reads the file once and broadcasts its bytes; every rank parses them.
ExperimentConfig read_experiment(const std::string& file, const std::vector<std::string>& overrides,
                                 const ConfigNeeds& needs, const Communicator& world);

/// The sections that the network sees before and after the predicted one. Errors: UsageError when
/// model.in_channels does not go with a raw volume of `raw_channels`.
std::int64_t context_sections(const UNetOptions& model, std::int64_t raw_channels);

}  // namespace tessera
