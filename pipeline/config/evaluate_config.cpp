#include "pipeline/config/evaluate_config.h"

#include "io/base/error.h"
#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

/// What the labels mean: as `data` says of the volume that they are of. Of other labels, `data` tells the
/// kind and the ignored id.
void read_targets(ConfigSection& evaluate, const DataConfig& data, bool own_labels, EvaluateConfig& e) {
  VolumeConfig defaults;
  if (!own_labels) defaults = data;
  defaults.label_kind = data.label_kind;
  defaults.ignore_label = data.ignore_label;
  if (e.labels) {
    if (const VolumeConfig* volume = data.volume_of_labels(*e.labels)) defaults = *volume;
  }
  e.label_kind = evaluate.choice("label_kind", defaults.label_kind);
  e.invert_labels =
      evaluate.get<bool>("invert_labels", defaults.invert_labels && e.label_kind == LabelKind::classes);
  e.ignore_label = defaults.ignore_label ? evaluate.get<LabelId>("ignore_label", *defaults.ignore_label)
                                         : evaluate.optional<LabelId>("ignore_label");
  ConfigSection scored_region = evaluate.section("region");
  e.region_begin = pixel(scored_region, "begin", 0, defaults.region_begin);
  e.region_end = pixel(scored_region, "end", 1, defaults.region_end);
  if (e.region_end) {
    const Index3 begin = e.region_begin.value_or(Index3{});
    if (begin.y >= e.region_end->y || begin.x >= e.region_end->x)
      evaluate.problem("region", "half-open: begin must be below end in y and in x");
  }
}

}  // namespace

EvaluateConfig read_evaluate(ConfigSection evaluate, const DataConfig& data, const InferConfig& infer) {
  EvaluateConfig e;
  e.prediction = dataset(evaluate, "prediction");
  e.labels = dataset(evaluate, "labels");
  e.sections = sections(evaluate, "sections");
  e.thresholds = static_cast<int>(evaluate.get<std::int64_t>("thresholds", 11, between(2, 1001)));
  const bool own_labels = evaluate.has("labels") || data.names_several();
  read_targets(evaluate, data, own_labels, e);
  e.kind = evaluate.choice("kind", EvaluationKind::automatic);
  e.scores = evaluate.get<std::vector<std::string>>("scores", {"auto"});
  e.watchdog_minutes = silence_minutes(evaluate, "watchdog_minutes");
  try {
    evaluation_scores(e.scores);
  } catch (const UsageError& error) {
    evaluate.problem("scores", error.what());
  }
  if (!e.prediction && !evaluate.has("prediction")) e.prediction = infer.output;
  if (!e.labels && !own_labels) e.labels = data.labels;
  if (!e.sections && !evaluate.has("sections")) e.sections = data.validation_sections;
  return e;
}

}  // namespace tessera
