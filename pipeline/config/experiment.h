#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/config/config_values.h"
#include "pipeline/config/data_config.h"
#include "pipeline/config/evaluate_config.h"
#include "pipeline/config/infer_config.h"
#include "pipeline/config/key_description.h"
#include "pipeline/config/model_config.h"
#include "pipeline/config/segment_config.h"
#include "pipeline/config/slurm_config.h"
#include "pipeline/config/train_config.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// One experiment file, checked.
struct ExperimentConfig {
  std::string name;
  std::filesystem::path run_folder;
  ImageInputs images;  ///< what stands for volumes in `data`, `infer` and `evaluate`
  std::string device = "auto";
  DataConfig data;
  ModelConfig model;
  NetworkDescription network() const { return model.description(); }
  TrainConfig train;
  InferConfig infer;
  SegmentConfig segment;
  EvaluateConfig evaluate;
  SlurmConfig slurm;
  std::string resolved_yaml;  ///< every key with its value, defaults filled in
};

/// Reads and checks an experiment. Errors: UsageError with a line for each problem and its place.
ExperimentConfig parse_experiment(const std::string& text, const std::string& file,
                                  const std::vector<std::string>& overrides, const ConfigNeeds& needs);

/// Every key that an experiment may have, in the order of reading, by the declarations that
/// parse_experiment() reads. `overrides`, such as model.preset=keras_same, may change defaults.
std::vector<KeyDescription> describe_keys(const ConfigNeeds& needs,
                                          const std::vector<std::string>& overrides = {});

/// Collective. The root reads the file once and broadcasts its bytes; every rank parses them.
ExperimentConfig read_experiment(const std::string& file, const std::vector<std::string>& overrides,
                                 const ConfigNeeds& needs, const Communicator& world);

/// The number of context sections before and after the predicted one, for a network of `in_channels`. Errors:
/// UsageError when `in_channels` does not fit a raw volume of `raw_channels`.
std::int64_t context_sections(std::int64_t in_channels, std::int64_t raw_channels);

}  // namespace tessera
