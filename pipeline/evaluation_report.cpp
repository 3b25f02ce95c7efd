#include "pipeline/evaluation_report.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "io/durable_file.h"
#include "io/png.h"
#include "pipeline/overlay.h"

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const ThresholdSums& sums, double threshold) {
  const ThresholdScores scores = scores_of(sums);
  const auto whole = [](double value) { return static_cast<std::int64_t>(value); };
  return {{"threshold", threshold},
          {"pixel_error", scores.pixel_error},
          {"precision", scores.precision},
          {"recall", scores.recall},
          {"f", scores.f},
          {"iou", scores.iou},
          {"rand_precision", scores.rand_precision},
          {"rand_recall", scores.rand_recall},
          {"rand_f", scores.rand_f},
          {"true_positive", whole(sums.true_positive)},
          {"false_positive", whole(sums.false_positive)},
          {"false_negative", whole(sums.false_negative)},
          {"true_negative", whole(sums.true_negative)}};
}

/// The probabilities of a section as double.
std::vector<double> probabilities(const VoxelBuffer& section) {
  std::vector<double> values;
  with_voxel_type(section.type, [&](auto zero) {
    using T = decltype(zero);
    constexpr double kScale =
        std::is_floating_point_v<T> ? 1.0 : static_cast<double>(std::numeric_limits<T>::max());
    for (const T value : section.as<T>()) values.push_back(static_cast<double>(value) / kScale);
  });
  return values;
}

std::vector<float> grey_values(const VoxelBuffer& section) {
  std::vector<float> values;
  with_voxel_type(section.type, [&](auto zero) {
    for (const auto value : section.as<decltype(zero)>()) values.push_back(static_cast<float>(value));
  });
  return values;
}

}  // namespace

std::string evaluation_text(const Evaluation& evaluation) {
  const ThresholdTable& table = evaluation.table;
  std::string text = fmt::format("prediction  {}\nlabels      {}{}\nsections    {}:{}\n\n",
                                 evaluation.request.prediction.text(), evaluation.request.labels.text(),
                                 evaluation.request.invert_labels ? " (inverted)" : "", evaluation.sections.begin,
                                 evaluation.sections.end);
  text += "threshold  pixel error       IoU         F  Rand fg micro  Rand fg macro\n";
  for (std::size_t t = 0; t < table.thresholds.size(); ++t) {
    const VolumeScores& s = evaluation.volume[t];
    text += fmt::format("{:9.4f}  {:11.6f}  {:8.6f}  {:8.6f}  {:13.6f}  {:13.6f}\n", table.thresholds[t],
                        s.pooled.pixel_error, s.pooled.iou, s.pooled.f, s.pooled.rand_f, s.rand_f_macro);
  }
  const auto best_line = [&](const char* words, double value, std::size_t t) {
    text += fmt::format("{:<26}{:.6f} at {:.4f}\n", words, value, table.thresholds[t]);
  };
  const BestThresholds& best = evaluation.best;
  text += "\n";
  best_line("least pixel error", evaluation.volume[best.pixel_error].pooled.pixel_error, best.pixel_error);
  best_line("best IoU", evaluation.volume[best.iou].pooled.iou, best.iou);
  best_line("best F", evaluation.volume[best.f].pooled.f, best.f);
  best_line("best Rand fg micro", evaluation.volume[best.rand_f_micro].pooled.rand_f, best.rand_f_micro);
  best_line("best Rand fg macro", evaluation.volume[best.rand_f_macro].rand_f_macro, best.rand_f_macro);

  text += "\nsection  threshold  pixel error       IoU         F   Rand fg  (best Rand fg, at)\n";
  std::vector<std::int64_t> worst = evaluation.from_worst();
  worst.resize(table.sections < 2 ? 0 : static_cast<std::size_t>(std::clamp<std::int64_t>(table.sections / 4, 1, 3)));
  for (std::int64_t z = 0; z < table.sections; ++z) {
    const std::size_t t = evaluation.best_f(z), rand = evaluation.best_rand(z);
    const ThresholdScores s = scores_of(table.section(z)[t]);
    text += fmt::format("{:7}  {:9.4f}  {:11.6f}  {:8.6f}  {:8.6f}  {:8.6f}  ({:.6f}, {:.4f}){}\n",
                        evaluation.sections.begin + z, table.thresholds[t], s.pixel_error, s.iou, s.f, s.rand_f,
                        scores_of(table.section(z)[rand]).rand_f, table.thresholds[rand],
                        std::find(worst.begin(), worst.end(), z) != worst.end() ? "  <- worst" : "");
  }
  return text;
}

std::string evaluation_json(const Evaluation& evaluation) {
  const ThresholdTable& table = evaluation.table;
  Json json{{"prediction", evaluation.request.prediction.text()},
            {"labels", evaluation.request.labels.text()},
            {"inverted_labels", evaluation.request.invert_labels},
            {"label_class", evaluation.request.label_class ? nlohmann::json(*evaluation.request.label_class) : nlohmann::json()},
            {"section_range", {evaluation.sections.begin, evaluation.sections.end}},
            {"thresholds", table.thresholds}};
  Json volume = Json::array(), sections = Json::array();
  for (std::size_t t = 0; t < table.thresholds.size(); ++t) {
    ThresholdSums pooled;
    for (std::int64_t z = 0; z < table.sections; ++z) pooled += table.section(z)[t];
    Json row = json_of(pooled, table.thresholds[t]);
    row["rand_f_macro"] = evaluation.volume[t].rand_f_macro;
    volume.push_back(row);
  }
  const auto best = [&](double value, std::size_t t) {
    return Json{{"value", value}, {"threshold", table.thresholds[t]}};
  };
  const BestThresholds& at = evaluation.best;
  json["best"] = {{"pixel_error", best(evaluation.volume[at.pixel_error].pooled.pixel_error, at.pixel_error)},
                  {"iou", best(evaluation.volume[at.iou].pooled.iou, at.iou)},
                  {"f", best(evaluation.volume[at.f].pooled.f, at.f)},
                  {"rand_f_micro", best(evaluation.volume[at.rand_f_micro].pooled.rand_f, at.rand_f_micro)},
                  {"rand_f_macro", best(evaluation.volume[at.rand_f_macro].rand_f_macro, at.rand_f_macro)}};
  for (std::int64_t z = 0; z < table.sections; ++z) {
    Json rows = Json::array();
    for (std::size_t t = 0; t < table.thresholds.size(); ++t) {
      rows.push_back(json_of(table.section(z)[t], table.thresholds[t]));
    }
    sections.push_back({{"section", evaluation.sections.begin + z},
                        {"best_f_threshold", table.thresholds[evaluation.best_f(z)]},
                        {"best_rand_threshold", table.thresholds[evaluation.best_rand(z)]},
                        {"scores", rows}});
  }
  json["volume"] = volume;
  json["sections"] = sections;
  return json.dump(2) + "\n";
}

void write_json(const Evaluation& evaluation, const std::filesystem::path& file) {
  const std::string text = evaluation_json(evaluation);
  create_folder_of(file);
  StagedFile staged(file);
  {
    const FileDescriptor out(staged.path(), O_WRONLY | O_CREAT | O_TRUNC);
    write_fully(out.get(), std::as_bytes(std::span(text)), 0, staged.path());
  }
  staged.commit();
}

void write_pictures(const Evaluation& evaluation, VolumeReader& prediction, VolumeReader& labels,
                    const std::filesystem::path& folder) {
  const std::vector<std::int64_t> order = evaluation.from_worst();
  std::map<std::int64_t, std::string> roles;
  roles[0] += "_first";
  roles[order.front()] += "_worst";
  roles[order.back()] += "_best";
  std::optional<VolumeReader> raw;
  if (evaluation.request.raw) raw.emplace(*evaluation.request.raw);
  create_folder_of(folder / "section");
  const Index3 shape = labels.info().shape;
  for (const auto& [section, role] : roles) {
    const std::int64_t z = evaluation.sections.begin + section;
    const Box box{{z, 0, 0}, {z + 1, shape.y, shape.x}};
    const VoxelBuffer probability = prediction.read(box);
    const RgbImage picture =
        section_picture(grey_values(raw ? raw->read(box) : probability),
                        interior_mask(labels.read(box), evaluation.request),
                        probabilities(probability), evaluation.table.thresholds[evaluation.best_f(section)],
                        shape.y, shape.x);
    write_png(folder / fmt::format("section_{:04}{}.png", z, role), picture.height, picture.width, 3,
              std::span<const std::uint8_t>(picture.pixels));
  }
}

std::vector<std::uint8_t> interior_mask(const VoxelBuffer& labels, const EvaluationRequest& request) {
  std::vector<std::uint8_t> mask;
  with_voxel_type(labels.type, [&](auto zero) {
    for (const auto value : labels.as<decltype(zero)>()) {
      const bool inside = request.label_class ? static_cast<std::int64_t>(value) == *request.label_class : value > 0;
      mask.push_back(inside != request.invert_labels ? 1 : 0);
    }
  });
  return mask;
}

}  // namespace tessera
