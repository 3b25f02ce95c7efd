#include "pipeline/start/run_summary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>

#include "pipeline/report/json_reading.h"
#include "pipeline/report/run_record.h"
#include "pipeline/run/progress.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// Where "good" and "fair" begin (docs/scores.md, "When is it good").
struct Limits {
  const char* key;
  double good, fair;
  const char* good_text;
  const char* poor_text;
};

constexpr std::array kLimits{
    Limits{"rand_thin_f_macro", 0.95, 0.85, "few cells are merged or split",
           "many cells are merged or split"},
    Limits{"info_thin_f_macro", 0.97, 0.9, "few cells are merged or split", "many cells are merged or split"},
    Limits{"volume_3d.voi", 0.5, 1.5, "few objects are merged or split", "many objects are merged or split"},
    Limits{"volume_3d.voi_split", 0.25, 0.75, "few objects are split", "many objects are split"},
    Limits{"volume_3d.voi_merge", 0.25, 0.75, "few objects are merged", "many objects are merged"},
    Limits{"volume_3d.adapted_rand_error", 0.1, 0.25, "few objects are merged or split",
           "many objects are merged or split"},
    Limits{"volume_3d.seg", 0.7, 0.5, "most objects are found with their outline", "many objects are missed"},
    Limits{"volume_2d.seg", 0.7, 0.5, "most objects are found with their outline", "many objects are missed"},
    Limits{"volume_2d.rand_thin_f_macro", 0.95, 0.85, "few cells are merged or split",
           "many cells are merged or split"},
    Limits{"volume_2d.info_thin_f_macro", 0.97, 0.9, "few cells are merged or split",
           "many cells are merged or split"},
    Limits{"mean_iou", 0.8, 0.6, "the classes are found with their outline", "a class is often mistaken"},
    Limits{"mean_dice", 0.9, 0.75, "the classes are found with their outline", "a class is often mistaken"},
};

/// The share of the interior in the labels, by the confusion matrix of a probability; NaN without one.
double interior_share(const Json& evaluation) {
  const Json& rows = list_at(evaluation, {"confusion", "pixels"});
  if (rows.size() != 2) return std::numeric_limits<double>::quiet_NaN();
  std::array<double, 2> sums{};
  for (std::size_t truth = 0; truth < 2; ++truth) {
    if (!rows[truth].is_array()) return std::numeric_limits<double>::quiet_NaN();
    for (const Json& count : rows[truth])
      sums.at(truth) += count.is_number() ? count.get<double>() : 0;
  }
  return sums[1] / (sums[0] + sums[1]);
}

/// "good", "fair" or "poor" by the part of a trivial prediction's error that is left.
std::string by_share_of(double error, double trivial) {
  if (error <= trivial / 2.5) return "good";
  return error <= trivial / 1.5 ? "fair" : "poor";
}

std::string verdict_on_pixels(const NamedScore& score, double interior) {
  if (score.key == "pixel_error") {
    const double trivial = std::min(interior, 1 - interior);
    return fmt::format("{}: {:.1f} % of the pixels are wrong; one class everywhere would give {:.1f} %",
                       by_share_of(score.value, trivial), 100 * score.value, 100 * trivial);
  }
  const double trivial = 2 * interior / (1 + interior);
  return fmt::format("{}: 1 is perfect; calling all pixels interior would give {:.3f}",
                     by_share_of(1 - score.value, 1 - trivial), trivial);
}

std::string scores_text(const Json& evaluation) {
  std::string text;
  for (const NamedScore& one : scores_in(evaluation)) {
    const std::string verdict = verdict_on(one, evaluation);
    if (verdict.empty()) continue;
    const std::string at =
        std::isfinite(one.threshold) ? fmt::format(" at threshold {:.2f}", one.threshold) : "";
    text += fmt::format("  {:<24} {:.4f}{:<20} {}\n", one.name, one.value, at, verdict);
  }
  return text;
}

/// The scores of an evaluation below a heading; "" without any.
std::string headed_scores(const std::string& heading, const Json& evaluation) {
  std::string text = scores_text(evaluation);
  if (text.empty()) return {};
  const Json& range = list_at(evaluation, {"section_range"});
  if (range.size() != 2) return text;
  return fmt::format("{}, sections {} to {}:\n{}", heading, whole_at(range[0], {}),
                     whole_at(range[1], {}) - 1, text);
}

/// "objects: 531 at threshold 0.5"; "" without a segmentation.
std::string objects_text(const RunRecord& record) {
  const std::int64_t objects = whole_at(record.segmentation, {"objects"});
  if (objects < 0) return {};
  const double threshold = number_at(record.segmentation, {"threshold"});
  return fmt::format("objects: {}{}\n", objects,
                     std::isfinite(threshold) ? fmt::format(" at threshold {}", threshold) : "");
}

/// The scores of the experiment, or of each of its volumes.
std::string all_scores(const ExperimentConfig& config) {
  const auto of_folder = [](const fs::path& folder, const std::string& whose) -> std::string {
    if (!holds_run(folder)) return {};
    const RunRecord record = read_run(folder.string());
    return headed_scores("scores" + whose, record.evaluation) + objects_text(record) +
           headed_scores("scores of the objects" + whose, record.object_evaluation);
  };
  std::string text = of_folder(config.run_folder, "");
  for (const VolumeFolder& one : volume_folders(config.run_folder))
    text += of_folder(one.folder, " of volume " + one.name);
  return text.empty() ? "no scores: the experiment names no labels to compare with\n" : text;
}

}  // namespace

std::string verdict_on(const NamedScore& score, const Json& evaluation) {
  if (score.key == "pixel_error" || score.key == "f") {
    const double interior = interior_share(evaluation);
    return std::isfinite(interior) ? verdict_on_pixels(score, interior) : "";
  }
  // Of objects that go on through the sections, SEG is told in 3-D.
  if (score.key == "volume_2d.seg" && json_at(evaluation, {"volume_3d"}).is_object()) return {};
  const auto limits = std::ranges::find_if(kLimits, [&](const Limits& one) { return one.key == score.key; });
  if (limits == kLimits.end()) return {};
  const double sign = score.better == Better::lower ? -1 : 1;
  const std::string perfect = score.better == Better::lower ? "0" : "1";
  if (sign * score.value >= sign * limits->good)
    return fmt::format("good: {} ({} is perfect)", limits->good_text, perfect);
  if (sign * score.value >= sign * limits->fair)
    return fmt::format("fair: {} is perfect; good begins at {}", perfect, limits->good);
  return fmt::format("poor: {} ({} is perfect; good begins at {})", limits->poor_text, perfect, limits->good);
}

std::string run_summary(const ExperimentConfig& config,
                        const std::vector<std::pair<Stage, double>>& seconds) {
  std::string text = "\n" + all_scores(config);
  std::vector<std::string> times;
  times.reserve(seconds.size());
  for (const auto& [stage, elapsed_s] : seconds)
    times.push_back(fmt::format("{} {}", name_of(stage), duration_text(elapsed_s)));
  if (!times.empty()) text += fmt::format("time: {}\n", fmt::join(times, ", "));
  text += "\nopen:\n";
  if (const fs::path page = config.run_folder / "report.html"; fs::exists(page))
    text +=
        fmt::format("  {}   in a browser: scores, curves, the worst and the best sections\n", page.string());
  for (const VolumeFolder& one : volume_folders(config.run_folder))
    text += fmt::format("  {}\n", (one.folder / "report.html").string());
  if (config.infer.output) {
    const std::string& result = config.infer.output->text();
    text += fmt::format("  {}   the prediction (h5py, HDFView, napari, Fiji's HDF5 plugin)\n", result);
    text += fmt::format("as TIFF: tessera export {} {}_prediction.tif\n", result, config.name);
  }
  if (config.segment.wanted && config.segment.output) {
    text += fmt::format(
        "  {}   the objects: ids for h5py, napari, webKnossos, or Fiji's HDF5 plugin\n"
        "other thresholds: tessera segment CONFIG.yaml --update --set segment.threshold=...\n",
        config.segment.output->text());
  }
  return text;
}

}  // namespace tessera
