#include "pipeline/cluster/experiment_stages.h"

#include "io/stores/dataset_wildcards.h"

namespace tessera {

bool has_training_data(const ExperimentConfig& config) {
  return !config.data.volumes.empty() || (config.data.raw && config.data.labels);
}

std::set<Stage> stages_of(const ExperimentConfig& config) {
  std::set<Stage> stages{Stage::report};
  if (has_training_data(config)) stages.insert(Stage::train);
  if (config.infer.output || config.infer.raw) stages.insert(Stage::infer);
  if (config.segment.wanted && (config.segment.prediction || config.infer.raw)) stages.insert(Stage::segment);
  const auto& objects = config.segment.wanted ? config.segment.prediction : config.evaluate.prediction;
  // Each of many predictions needs its own labels. Without a name it is the default one of its raw volume.
  const auto& prediction = config.evaluate.prediction ? config.evaluate.prediction
                           : config.infer.raw         ? config.infer.raw
                                                      : objects;
  const auto& labels = config.evaluate.labels;
  if (prediction && labels && wildcards_of(*prediction).size() == wildcards_of(*labels).size())
    stages.insert(Stage::evaluate);
  return stages;
}

}  // namespace tessera
