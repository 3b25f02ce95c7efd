#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/block_plan.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"
#include "pipeline/config/data_config.h"
#include "pipeline/config/slurm_config.h"
#include "pipeline/train/best_validation.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/network/unet.h"
#include "workers/samples/training_data.h"
#include "workers/train/trainer.h"

namespace tessera {

/// `train:`
struct TrainConfig {
  TrainerOptions trainer;
  WeightMapOptions weight_map;
  std::optional<std::int64_t> ignore_label;
  bool tile_auto = true;
  std::optional<Precision> precision;  ///< none: automatic
  std::int64_t iterations = 4000;
  double minutes = 0;             ///< 0: no limit
  int threads = 0;                ///< 0: automatic
  std::int64_t report_every = 0;  ///< iterations whose results are read together; 0: automatic
  std::int64_t validate_every = 200, checkpoint_every = 200, keep_checkpoints = 3;
  ValidationMetric validation_metric = ValidationMetric::pixel_error;
  std::int64_t patience = 0;  ///< validations without a new best that end the training; 0: any number
};

/// Where the mean and the standard deviation of the raw values come from.
enum class NormalisationKind {
  checkpoint,  ///< the training volume's
  volume,      ///< the raw volume's own
  section,     ///< each section's own
  fixed,       ///< given
};

/// `infer:`
struct InferConfig {
  std::optional<DatasetName> raw, output;
  std::string checkpoint = "best";                 ///< best, latest or a file
  std::optional<Index3> tile, block, chunk;        ///< none: automatic; z of `tile` is 1
  std::optional<Precision> precision;              ///< none: automatic
  std::optional<Index3> region_begin, region_end;  ///< none: the whole volume
  std::int64_t output_class = 1;                   ///< the first of `classes`
  std::vector<std::int64_t> classes = {1};
  bool labels = false;  ///< the most probable class in place of probabilities
  VoxelType type = VoxelType::uint8;
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  std::int64_t blend_overlap = 64;  ///< pixels; used with blending only
  NormalisationKind normalisation = NormalisationKind::checkpoint;
  Normalisation fixed_normalisation;     ///< with NormalisationKind::fixed
  std::optional<DatasetName> skip_mask;  ///< blocks where it is all 0 are not predicted
  std::optional<std::pair<double, double>>
      background;  ///< blocks with all raw values within are not predicted
  int threads = 0;
  std::int64_t memory_budget = 0;  ///< bytes per worker for activations; 0: automatic

  /// Channels of the result.
  std::int64_t channels() const { return labels ? 1 : static_cast<std::int64_t>(classes.size()); }
  bool reproducible = true;                        ///< on a GPU: the same bits every time, by fixed kernels
  ExactTiles exact_tiles = ExactTiles::automatic;  ///< on a GPU: the same bits in tiles of every size
  int max_retries = 2;                             ///< of a block that fails
  double watchdog_minutes = 30;                    ///< of a worker's silence; 0: no limit
};

/// `evaluate:` what is not said comes from `data` and `infer`.
struct EvaluateConfig {
  std::optional<DatasetName> prediction, labels;
  std::optional<Sections> sections;
  int thresholds = 11;
  bool invert_labels = false;
  std::string kind = "auto";                ///< auto, probability, labels, classes
  std::vector<std::string> scores{"auto"};  ///< of a probability; checked where they are used
};

/// `model:` of a network from elsewhere; what is absent is taken from what the file says of itself.
struct TorchScriptConfig {
  std::filesystem::path file;
  std::optional<std::int64_t> margin, alignment;
  std::optional<Activation> activation;
};

/// One experiment file, checked.
struct ExperimentConfig {
  std::string name;
  std::filesystem::path run_folder;
  std::string device = "auto";
  DataConfig data;
  std::string preset = "unet2015";
  UNetOptions model;
  NetworkDescription network() const { return describe_unet(model); }
  std::optional<TorchScriptConfig> torchscript;  ///< in place of a checkpoint, for inference
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

/// The sections that a network of `in_channels` sees before and after the predicted one. Errors: UsageError
/// when they do not go with a raw volume of `raw_channels`.
std::int64_t context_sections(std::int64_t in_channels, std::int64_t raw_channels);

}  // namespace tessera
