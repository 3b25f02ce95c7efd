#include "pipeline/commands/evaluation_inputs.h"

#include <fmt/format.h>

#include <filesystem>
#include <limits>

#include "io/base/error.h"
#include "io/hdf5/dataset_identity.h"
#include "pipeline/run/prediction_meaning.h"

namespace tessera {
namespace {

/// None for a dataset that cannot be opened: the step that needs it reports the error.
std::optional<std::string> identity_of(const DatasetName& name) {
  try {
    return dataset_identity(name);
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Whether `name` is `pattern`, one of the datasets that its wildcards stand for, or another path to it.
bool is_named_by(const std::optional<DatasetName>& pattern, const DatasetName& name) {
  if (!pattern) return false;
  if (names_dataset(*pattern, name)) return true;
  const auto file = [](const DatasetName& one) { return std::filesystem::weakly_canonical(one.file); };
  return file(*pattern) == file(name) && names_dataset({name.file, pattern->path}, name);
}

/// An experiment in an attribute; none without the attribute, or when this version cannot read it.
std::optional<ExperimentConfig> experiment_in(const VolumeInfo& prediction, const std::string& attribute) {
  const auto text = prediction.attributes.find(attribute);
  if (text == prediction.attributes.end()) return std::nullopt;
  try {
    return parse_experiment(text->second, attribute, {}, {});
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Whether the network of a prediction is that of the experiment's own training.
bool predicts_with_own_network(const ExperimentConfig& config) {
  return !config.model.torchscript && config.infer.ensemble.empty() &&
         (config.infer.checkpoint == "best" || config.infer.checkpoint == "latest");
}

/// What is known of a training of the network.
struct KnownTraining {
  DataConfig data;
  std::optional<DatasetName> predicted;  ///< the raw volume of the prediction
};

/// One training; of an ensemble several.
std::vector<KnownTraining> trainings_of(const EvaluationRequest& request, const VolumeInfo& prediction,
                                        const std::optional<ExperimentConfig>& config) {
  const auto inference = experiment_in(prediction, "config");
  const auto predicted = inference ? inference->infer.raw : std::nullopt;
  std::vector<KnownTraining> trainings;
  for (std::size_t i = 0; prediction.attributes.contains(training_attribute(i)); ++i) {
    if (const auto training = experiment_in(prediction, training_attribute(i)))
      trainings.push_back({training->data, predicted});
  }
  if (!trainings.empty()) return trainings;
  if (inference) {  // by an older version, or by a network that says nothing
    if (predicts_with_own_network(*inference)) trainings.push_back({inference->data, predicted});
    return trainings;
  }
  const bool is_own =
      config && config->infer.output && config->infer.output->text() == request.prediction.text();
  if (is_own && predicts_with_own_network(*config)) trainings.push_back({config->data, config->infer.raw});
  return trainings;
}

/// The voxels of a volume that are trained on; none of one that is held out.
std::optional<Box> trained_box(const VolumeConfig& volume, bool is_listed) {
  constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max() / 4;
  const bool is_whole = is_listed && !volume.train_sections && !volume.validation_sections;
  if (!volume.train_sections && !is_whole) return std::nullopt;
  const Sections sections = volume.train_sections.value_or(Sections{0, kAll});
  const Index3 begin = volume.region_begin.value_or(Index3{}),
               end = volume.region_end.value_or(Index3{0, kAll, kAll});
  return Box{{sections.begin, begin.y, begin.x}, {sections.end, end.y, end.x}};
}

}  // namespace

void require_comparable(const EvaluationRequest& request, const VolumeInfo& labels,
                        const std::optional<ExperimentConfig>& config) {
  if (meaning_of(labels).values == PredictionMeaning::Values::probability) {
    throw UsageError(fmt::format(
        "the labels {} say of themselves '{}' (attribute 'meaning'): are prediction and labels swapped? "
        "Exchange --prediction and --labels (evaluate.prediction and evaluate.labels).",
        labels.name.text(), labels.attributes.at("meaning")));
  }
  const auto prediction = identity_of(request.prediction);
  if (!prediction) return;
  if (prediction == identity_of(request.labels)) {
    throw UsageError(fmt::format(
        "the prediction {} and the labels {} are one dataset: the scores would mean nothing. Name the result "
        "of 'tessera infer' by --prediction (evaluate.prediction), or the labels by --labels "
        "(evaluate.labels).",
        request.prediction.text(), request.labels.text()));
  }
  std::vector<std::optional<DatasetName>> raws{request.raw};
  if (config) raws.insert(raws.end(), {config->data.raw, config->infer.raw});
  for (const auto& raw : raws) {
    if (!raw || prediction != identity_of(*raw)) continue;
    throw UsageError(
        fmt::format("the prediction {} is the raw volume {}: name the result of 'tessera infer' by "
                    "--prediction (evaluate.prediction).",
                    request.prediction.text(), raw->text()));
  }
}

std::vector<Box> trained_boxes(const EvaluationRequest& request, const VolumeInfo& prediction,
                               const std::optional<ExperimentConfig>& config) {
  std::vector<Box> boxes;
  for (const KnownTraining& training : trainings_of(request, prediction, config)) {
    for (const VolumeConfig& one : training.data.all_volumes()) {
      const bool is_same = is_named_by(one.labels, request.labels) ||
                           (training.predicted && is_named_by(one.raw, *training.predicted));
      const auto box = trained_box(one, !training.data.volumes.empty());
      if (is_same && box) boxes.push_back(*box);
    }
  }
  return boxes;
}

}  // namespace tessera
