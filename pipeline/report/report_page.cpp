#include "pipeline/report/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/base/error.h"
#include "io/base/log.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/named_scores.h"
#include "pipeline/report/page.h"
#include "pipeline/report/preview_strip.h"
#include "pipeline/report/recommended_threshold.h"
#include "pipeline/report/report_parts.h"
#include "pipeline/report/section_pictures.h"
#include "pipeline/report/section_viewer.h"
#include "pipeline/run/run_folder.h"

namespace tessera {
namespace {

constexpr std::size_t kMostKeys = 6;

Html key_figures(const RunRecord& record) {
  Html content;
  std::size_t shown = 0;
  for (const NamedScore& one : scores_in(record.evaluation)) {
    if (!one.headline || shown == kMostKeys - 1) continue;
    content += key_figure(score_name(one.name), number_text(one.value, 4),
                          std::isfinite(one.threshold)
                              ? fmt::format("at threshold {:.2f}", one.threshold)
                              : std::string(one.better == Better::lower ? "lower is better" : ""));
    ++shown;
  }
  if (const auto recommended = recommended_threshold(record.evaluation); recommended && shown < kMostKeys - 1)
    content += key_figure(text("Recommended threshold"), number_text(recommended->threshold, 2),
                          "of the probability: see Scores");
  const double speed = number_at(record.inference, {"voxels_per_s"});
  if (std::isfinite(speed)) {
    const std::size_t workers = list_at(record.inference, {"workers"}).size();
    content += key_figure(text("Inference"), number_text(speed / 1e6, 2),
                          fmt::format("Mvoxels/s, {} worker{}", workers, workers == 1 ? "" : "s"));
  }
  if (const double objects = number_at(record.segmentation, {"objects"}); std::isfinite(objects)) {
    const double voi = number_at(record.object_evaluation, {"volume_3d", "voi"});
    const double rand = number_at(record.object_evaluation, {"volume_2d", "rand_thin_f_macro"});
    content += key_figure(text("Objects"), with_commas(objects),
                          std::isfinite(voi)    ? fmt::format("VOI {:.4f} bits", voi)
                          : std::isfinite(rand) ? fmt::format("V^Rand_thin {:.4f}, 2-D", rand)
                                                : std::string());
  }
  return content.empty() ? content : tag("div", "keys", content);
}

Html picture_of(const std::string& caption, const std::vector<std::byte>& png, std::int64_t width,
                std::int64_t height) {
  Html heads;
  for (const char* head : {"raw", "labels", "prediction over raw"})
    heads += tag("span", "", text(head));
  return tag("figure", "picture",
             element("figcaption", {}, text(caption)) + tag("div", "panels three", heads) +
                 inline_png(png, width, height, caption + ": raw, labels, prediction over raw"));
}

std::string caption_of(const RunRecord& record, std::int64_t section, const std::string& role) {
  const Json& scores = section_of(record.evaluation, section);
  return fmt::format("Section {}{}{}: F {} at threshold {}", section, role.empty() ? "" : ", ", role,
                     number_text(number_at(scores, {"best_f"}), 4),
                     number_text(number_at(scores, {"best_f_threshold"}), 2));
}

/// The worst and the best section by F; nothing without sections.
std::vector<std::pair<std::int64_t, std::string>> extremes(const Json& evaluation) {
  const Json* worst = nullptr;
  const Json* best = nullptr;
  for (const Json& one : list_at(evaluation, {"sections"})) {
    const double f = number_at(one, {"best_f"});
    if (!std::isfinite(f)) continue;
    if (worst == nullptr || f < number_at(*worst, {"best_f"})) worst = &one;
    if (best == nullptr || f > number_at(*best, {"best_f"})) best = &one;
  }
  if (worst == nullptr) return {};
  if (worst == best) return {{whole_at(*worst, {"section"}), "the only one"}};
  return {{whole_at(*worst, {"section"}), "the worst"}, {whole_at(*best, {"section"}), "the best"}};
}

std::string lead(const RunRecord& record) {
  std::string line;
  const auto add = [&](const std::string& more) {
    line += (line.empty() || more.empty() ? "" : " \u00B7 ") + more;
  };
  if (!record.config("model.preset").empty())
    add(fmt::format("{} with {} filters", record.config("model.preset"),
                    record.config("model.base_filters")));
  const std::vector<double> iterations = record.metrics.column("iteration");
  if (!iterations.empty()) add(with_commas(iterations.back()) + " iterations");
  const Json& range = list_at(record.evaluation, {"section_range"});
  if (range.size() == 2 && range[0].is_number() && range[1].is_number()) {
    add("scored on " + section_range_text(range[0].get<double>(), range[1].get<double>()));
  }
  return line;
}

}  // namespace

namespace {

/// The pictures that `evaluate` wrote: scaled down, but there is no other need than the run folder.
Html written_pictures(const RunRecord& record) {
  std::vector<const SectionPicture*> order;
  for (const SectionPicture& one : record.pictures)
    order.push_back(&one);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return (a->worst ? 0 : a->best ? 1 : 2) < (b->worst ? 0 : b->best ? 1 : 2);
  });
  Html content;
  for (const SectionPicture* one : order) {
    const std::string role = one->worst && one->best ? "the only one"
                             : one->worst            ? "the worst"
                             : one->best             ? "the best"
                                                     : "the first";
    content += picture_of(caption_of(record, one->section, role), one->png, one->width, one->height);
  }
  return content;
}

}  // namespace

Html picture_part(const RunRecord& record) {
  if (text_at(record.evaluation, {"kind"}) != name_of(EvaluationKind::probability))
    return note("Pictures are drawn of a probability, and this was none.");
  Html content, problems;
  for (const auto& [section, role] : extremes(record.evaluation)) {
    try {
      const ReadSection read = read_section(record, section);
      content += section_viewer(fmt::format("section-{}", section), caption_of(record, section, role),
                                read.layers, read.threshold);
    } catch (const Error& error) {
      const std::string problem =
          fmt::format("Section {}, {}, cannot be drawn: {}", section, role, error.what());
      spdlog::warn("{}", problem);
      problems += note(problem);
    }
  }
  if (!problems.empty()) content += written_pictures(record);
  return overlay_legend() + content + problems;
}

std::string report_page(const RunRecord& record, int reload_s) {
  const std::string version = record.version.empty() ? "" : record.version + " \u00B7 ";
  Html head = tag("p", "over",
                  element("span", {}, text("Tessera report")) +
                      element("span", {}, text(version + "written " + now_utc())));
  head += element("h1", {}, text(record.name)) + tag("p", "lead", text(lead(record))) + key_figures(record);
  for (const std::string& problem : record.problems)
    head += warning(problem);

  std::vector<PageSection> sections{{"run", "What was run", fact_part(record)}};
  if (record.has_evaluation()) {
    sections.push_back({"pictures", "Worst and best sections", picture_part(record)});
    sections.push_back({"scores", "Scores", score_part(record)});
    sections.push_back({"sections", "By section", section_part(record)});
  } else {
    sections.push_back(
        {"scores", "Scores",
         note("This run has not been scored: tessera evaluate CONFIG.yaml compares its prediction with "
              "labels and writes evaluation.json here.")});
  }
  if (record.has_objects()) sections.push_back({"objects", "Objects", object_part(record)});
  sections.push_back(
      {"training", "Training",
       record.metrics.rows.empty()
           ? note("There are no training curves: tessera train CONFIG.yaml writes metrics.csv here.")
           : preview_strip(record) + training_part(record)});
  sections.push_back(
      {"inference", "Inference",
       record.has_inference()
           ? inference_part(record)
           : note("Nothing has been predicted: tessera infer CONFIG.yaml writes inference.json here.")});
  sections.push_back(
      {"config", "Config",
       record.all_config().empty() ? note("There is no config.yaml here.") : config_part(record)});
  return html_page(record.name + " \u2013 Tessera report", head, sections, reload_s);
}

}  // namespace tessera
