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
  const std::string as_data = "that of the volume in data whose labels these are";
  e.label_kind = evaluate.choice({"label_kind",
                                  "The meaning of the labels, as data.label_kind.",
                                  {.example = "instances",
                                   .fallback = as_data + "; of other labels, data.label_kind",
                                   .related = "data.label_kind"}},
                                 defaults.label_kind);
  e.invert_labels = evaluate.get<bool>({"invert_labels",
                                        "true: 0 is the interior.",
                                        {.example = "true",
                                         .fallback = as_data + "; of other labels, false",
                                         .related = "data.invert_labels"}},
                                       defaults.invert_labels && e.label_kind == LabelKind::classes);
  const Key ignore_label{"ignore_label",
                         "Voxels with this id are in no score.",
                         {.example = "99",
                          .fallback = as_data + "; of other labels, data.ignore_label",
                          .related = "data.ignore_label"}};
  e.ignore_label = defaults.ignore_label ? evaluate.get<LabelId>(ignore_label, *defaults.ignore_label)
                                         : evaluate.optional<LabelId>(ignore_label);
  const PixelCorners scored = pixel_region(evaluate,
                                           {"region",
                                            "The pixels of each section that are scored.",
                                            {.fallback = as_data + "; of other labels, all"}},
                                           {defaults.region_begin, defaults.region_end});
  e.region_begin = scored.begin;
  e.region_end = scored.end;
  if (!scored.in_order()) evaluate.problem("region", kCornersInOrder);
}

}  // namespace

EvaluateConfig read_evaluate(ConfigSection evaluate, const DataConfig& data, const InferConfig& infer,
                             ImageInputs& images) {
  EvaluateConfig e;
  e.prediction = dataset(evaluate, {"prediction",
                                    "The prediction to score.",
                                    {.example = "runs/example/prediction.h5:/volumes/predictions/interior",
                                     .fallback = "infer.output, with its wildcards",
                                     .related = "infer.output evaluate.kind"}});
  e.labels =
      volume_input(evaluate,
                   {"labels",
                    "The labels to compare the prediction with: above 0 is interior. With more than two "
                    "model.classes, the id infer.class is interior. For many volumes: with the wildcards of "
                    "infer.raw.",
                    {.example = "em.h5:/volumes/labels/cells",
                     .fallback = "data.labels",
                     .related = "data.labels evaluate.label_kind"}},
                   true, images);
  e.sections = sections(evaluate, {"sections",
                                   "The sections of each volume that are scored.",
                                   {.example = "[16, 20]",
                                    .fallback = "data.validation_sections, or all",
                                    .related = "data.validation_sections"}});
  e.thresholds = static_cast<int>(
      evaluate.get<std::int64_t>({"thresholds",
                                  "The number of thresholds from 0 to 1 at which a probability is scored.",
                                  {.example = "21"}},
                                 11, between(2, 1001)));
  const bool own_labels = evaluate.has("labels") || data.names_several();
  read_targets(evaluate, data, own_labels, e);
  e.kind = evaluate.choice(
      {"kind",
       "The content of the prediction. probability: of the interior. labels: ids of objects. classes: ids of "
       "classes. auto: what a result of infer says of itself; of other volumes, uint32 and uint64 are "
       "labels, else "
       "a probability.",
       {.example = "labels", .related = "evaluate.prediction infer.write"}},
      EvaluationKind::automatic);
  e.scores = evaluate.get<std::vector<std::string>>(
      {"scores",
       "The scores of a probability, beside those of pixels: rand, thin (V^Rand_thin, V^Info_thin), warping, "
       "objects, calibration. auto: all, or without thin and warping beyond 2^28 voxels.",
       {.example = "[rand, thin]", .form = "[auto], or a list of rand, thin, warping, objects, calibration"}},
      {"auto"});
  e.watchdog_minutes = silence_minutes(evaluate);
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
