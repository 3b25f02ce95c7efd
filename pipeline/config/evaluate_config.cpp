#include "pipeline/config/evaluate_config.h"

#include "io/base/error.h"
#include "pipeline/config/config_values.h"

namespace tessera {
EvaluateConfig read_evaluate(ConfigSection evaluate, const DataConfig& data, const InferConfig& infer) {
  EvaluateConfig e;
  e.prediction = dataset(evaluate, "prediction");
  e.labels = dataset(evaluate, "labels");
  e.sections = sections(evaluate, "sections");
  e.thresholds = static_cast<int>(evaluate.get<std::int64_t>("thresholds", 11, between(2, 1001)));
  const bool own_labels = evaluate.has("labels") || data.names_several();
  e.invert_labels = evaluate.get<bool>("invert_labels", !own_labels && data.invert_labels);
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
