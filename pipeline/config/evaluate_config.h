#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/volume/dataset_name.h"
#include "pipeline/config/data_config.h"
#include "pipeline/config/infer_config.h"
#include "pipeline/config/yaml_reader.h"
#include "pipeline/evaluate/evaluation_request.h"

namespace tessera {

/// `evaluate:` missing keys come from `data` and `infer`.
struct EvaluateConfig {
  std::optional<DatasetName> prediction, labels;
  std::optional<Sections> sections;
  int thresholds = 11;
  // What the labels mean.
  LabelKind label_kind = LabelKind::classes;
  bool invert_labels = false;
  std::optional<LabelId> ignore_label;
  std::optional<Index3> region_begin, region_end;  ///< z is 0; none: the section's
  EvaluationKind kind = EvaluationKind::automatic;
  std::vector<std::string> scores{"auto"};  ///< of a probability; checked where they are used
  double watchdog_minutes = 30;             ///< without a heartbeat of a rank; 0: no limit
};

/// Reads `evaluate:`. Defaults come from `data`, whose `ignore_label` may be that of `train`, and from the
/// result of `infer`. Problems are noted in the document.
EvaluateConfig read_evaluate(ConfigSection evaluate, const DataConfig& data, const InferConfig& infer,
                             ImageInputs& images);

}  // namespace tessera
