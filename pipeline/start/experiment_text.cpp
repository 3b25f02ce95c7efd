#include "pipeline/start/experiment_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "pipeline/config/yaml_scalar.h"
#include "pipeline/run/run_folder.h"
#include "workers/samples/label_doubts.h"

namespace tessera {
namespace {

/// Where comments begin.
constexpr std::size_t kCommentColumn = 42;

/// The lines of a YAML file.
class YamlText {
 public:
  void line(const std::string& text = {}) { text_ += text + "\n"; }
  void comment(const std::string& text) { line("# " + text); }
  /// "  key: value      # comment".
  void key(const std::string& key, const std::string& value, const std::string& comment = {}) {
    std::string text = key + ": " + value;
    if (!comment.empty()) text = fmt::format("{:<{}} # {}", text, kCommentColumn - 1, comment);
    line(text);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string range_text(const Sections& sections) {
  return fmt::format("[{}, {}]", sections.begin, sections.end);
}

std::string numbers_text(const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kMost = 12;
  std::vector<std::int64_t> first = numbers;
  if (first.size() > kMost) first.resize(kMost);
  return fmt::format("{}{}", fmt::join(first, ", "), numbers.size() > kMost ? ", ..." : "");
}

std::string voxel_size(const StartFacts& facts) {
  const std::vector<double>& found =
      facts.survey.raw.resolution_nm.empty() ? facts.resolution_nm : facts.survey.raw.resolution_nm;
  return found.size() == 3 ? fmt::format("voxels of {} x {} x {} nm", found[0], found[1], found[2])
                           : "voxel size not known";
}

std::string labels_text(const StartFacts& facts) {
  const LabelSurvey& found = facts.survey.found;
  const std::string& name = *facts.inputs.labels;
  if (found.kind == LabelKind::instances) {
    return fmt::format("{}: ids of cells ({}{} different ones), {:.1f} % background", name, found.id_count,
                       found.id_count >= LabelSurvey::kMostIds ? " or more" : "", 100 * found.zero_share);
  }
  std::vector<std::string> shares;
  for (std::size_t i = 0; i < found.ids.size(); ++i)
    shares.push_back(fmt::format("{}: {:.1f} %", found.ids[i], 100 * found.shares[i]));
  return fmt::format("{}: {} {} ({})", name, found.id_count, found.perhaps_ignored ? "values" : "classes",
                     fmt::join(shares, ", "));
}

/// The held-out sections that choose the threshold of the objects, and those whose scores are reported. None
/// where objects are not asked for, or cannot be scored.
struct ObjectSections {
  Sections choose, report;
};
std::optional<ObjectSections> object_sections(const StartFacts& facts) {
  // An id that is one object through the sections: 0.8 and more was seen in volumes of neurons.
  constexpr double kContinued = 0.5;
  const LabelSurvey& found = facts.survey.found;
  if (!facts.inputs.labels || facts.checkpoint || found.kind != LabelKind::instances ||
      found.continued_share < kContinued || facts.split.one_section || facts.split.validation.size() != 1)
    return std::nullopt;
  const Sections held_out = facts.split.validation[0];
  if (held_out.count() < 2) return std::nullopt;
  const std::int64_t middle = held_out.begin + held_out.count() / 2;
  return ObjectSections{{held_out.begin, middle}, {middle, held_out.end}};
}

/// `data:` of volumes that share raw and labels.
void add_ranges(const StartFacts& facts, YamlText& yaml) {
  const SectionSplit& split = facts.split;
  if (!split.one_section && split.train.size() == 1 && split.validation.size() == 1) {
    yaml.key("  train_sections", range_text(split.train[0]),
             fmt::format("half-open: sections {} to {}", split.train[0].begin, split.train[0].end - 1));
    yaml.key("  validation_sections", range_text(split.validation[0]),
             object_sections(facts) ? "held out: never trained on"
                                    : "held out: never trained on; the scores are of these");
    return;
  }
  yaml.key("  volumes", "",
           split.one_section ? "one section is annotated: its right part is held out"
                             : "each run of annotated sections");
  if (split.one_section) {
    const Box& covered = facts.survey.found.covered;
    const std::int64_t border = covered.begin.x + covered.shape().x * 3 / 4;
    const std::string section = range_text(split.train[0]);
    yaml.line("  - train_sections: " + section);
    yaml.line(fmt::format("    region: {{begin: [{}, {}], end: [{}, {}]}}", covered.begin.y, covered.begin.x,
                          covered.end.y, border));
    yaml.line("  - validation_sections: " + section);
    yaml.line(fmt::format("    region: {{begin: [{}, {}], end: [{}, {}]}}", covered.begin.y, border,
                          covered.end.y, covered.end.x));
    return;
  }
  for (const Sections& one : split.train)
    yaml.line("  - train_sections: " + range_text(one));
  for (const Sections& one : split.validation)
    yaml.line("  - validation_sections: " + range_text(one));
}

/// How the labels are to be taken: under `data` or `evaluate`.
void add_label_meaning(const StartFacts& facts, YamlText& yaml) {
  const LabelSurvey& found = facts.survey.found;
  if (found.kind == LabelKind::instances) {
    yaml.key("  label_kind", "instances",
             "ids of cells, 0 for background; a border of class 0 is drawn where cells touch");
  } else if (found.classes == 2) {
    yaml.key("  label_kind", "classes", "0: membrane (or background); above 0: cell interior");
  }
  if (found.inverted)
    yaml.key("  invert_labels", "true",
             "0 is the interior: what is above 0 is darker and parts the rest, as membranes do");
  if (found.perhaps_ignored) {
    yaml.comment(fmt::format("  ignore_label: {:<21} # does this value mark voxels that are not annotated?",
                             *found.perhaps_ignored));
  }
  if (found.negative)
    yaml.key("  ignore_label",
             label_id_text(*found.negative).substr(0, label_id_text(*found.negative).find(' ')),
             "a negative number: not annotated");
}

void add_data(const StartFacts& facts, YamlText& yaml) {
  yaml.line("data:");
  yaml.key("  raw", to_yaml(facts.inputs.raw));
  if (facts.inputs.labels && !facts.checkpoint) yaml.key("  labels", to_yaml(*facts.inputs.labels));
  if (facts.resolution_nm.size() == 3)
    yaml.key("  resolution", to_yaml(facts.resolution_nm), "nm along z, y, x; images do not say it");
  if (!facts.inputs.labels || facts.checkpoint) return;
  add_label_meaning(facts, yaml);
  add_ranges(facts, yaml);
}

void add_model(const StartFacts& facts, const StartSettings& s, YamlText& yaml) {
  yaml.line();
  yaml.line("model:");
  if (facts.checkpoint) {
    for (const auto& [key, value] : facts.network)
      yaml.key("  " + key, value);
    return;
  }
  yaml.key("  preset", "unet2015", "Ronneberger et al. 2015: valid convolutions, seam-free tiles");
  yaml.key(
      "  base_filters", std::to_string(s.base_filters),
      s.base_filters == 64 ? "the paper's" : "the paper has 64: this many can be trained in the time below");
  if (s.depth != 4)
    yaml.key("  depth", std::to_string(s.depth), "poolings; the paper has 4: the sections are small");
  yaml.key("  dropout", fmt::format("{}", s.dropout));
  if (facts.survey.found.classes != 2) yaml.key("  classes", std::to_string(facts.survey.found.classes));
}

void add_optimizer(const StartSettings& s, YamlText& yaml) {
  if (s.paper) {
    yaml.key("  optimizer", "sgd", "the paper's, with momentum 0.99");
    yaml.key("  momentum", "0.99");
    yaml.key("  learning_rate", "1.0e-3", "the paper names none");
    return;
  }
  yaml.key("  optimizer", "adam", "needs no tuning for a first result");
  yaml.key("  learning_rate", s.learning_rate < 1e-3 ? "5.0e-4" : "1.0e-3");
  yaml.key("  schedule", fmt::format("{{kind: cosine, warm_up: {}}}", s.warm_up),
           "down to 0 at the end of iterations or minutes");
  yaml.key("  average_decay", fmt::format("{}", s.average_decay), "predictions use averaged weights");
}

void add_train(const StartFacts& facts, const StartSettings& s, YamlText& yaml) {
  yaml.line();
  yaml.line("train:");
  if (s.measured.empty()) {
    yaml.comment("  Nothing was measured: this machine has no GPU. The minutes end the training.");
  } else {
    yaml.comment("  Measured here: " + s.measured);
  }
  yaml.key("  iterations", std::to_string(s.iterations),
           s.expected > 0 ? fmt::format("a limit: about {} fit the minutes", s.expected) : "a limit");
  yaml.key("  minutes", fmt::format("{:.4g}", s.minutes), "they end the training; more is better");
  yaml.key("  global_batch", std::to_string(s.batch),
           s.paper ? "the paper's" : "samples an iteration, divided among the workers");
  yaml.key("  tile", std::to_string(s.tile),
           fmt::format("input side in pixels; the output is {}", s.tile_output));
  add_optimizer(s, yaml);
  if (facts.survey.found.classes == 2)
    yaml.key("  weight_map", "{w0: 10, sigma: 5}", "thin borders between cells count more; sigma in pixels");
  yaml.key("  augmentation", fmt::format("{{elastic: {}}}", s.elastic),
           "pixels; mirroring, right angles and grey values are on");
  yaml.key("  seed", "1");
  yaml.key("  validate_every", std::to_string(s.validate_every), "iterations");
  yaml.key("  checkpoint_every", std::to_string(s.validate_every));
}

void add_infer(const StartFacts& facts, const StartSettings& s, YamlText& yaml) {
  yaml.line();
  yaml.line("infer:");
  if (facts.checkpoint) {
    yaml.key("  checkpoint", to_yaml(*facts.checkpoint));
  } else if (s.paper) {
    yaml.key("  checkpoint", "best", "by the held-out sections");
  } else {
    yaml.key("  checkpoint", "latest", "the learning rate ends at 0: there is nothing to choose");
  }
  const std::string reason = s.averaging == Averaging::rotations7
                                 ? "the paper's seven rotated versions: better, and 8 times as long"
                                 : "rotations7 is better, and takes 8 times as long";
  yaml.key("  averaging", name_of(s.averaging), reason);
  yaml.comment(
      fmt::format("  The result is runs/{}/prediction.h5, uint8: 255 is probability 1.", facts.name));
}

void add_segment(const StartFacts& facts, const ObjectSections& sections, YamlText& yaml) {
  yaml.line();
  yaml.line("segment:");
  yaml.comment("  The labels are ids of objects that go on through the sections, so objects are made, too.");
  if (facts.survey.raw.resolution_nm.empty() && facts.resolution_nm.empty())
    yaml.key("  mode", "sections", "the voxel size is not known; volume: where voxels are as deep as wide");
  yaml.key("  linkage", "mean", "the two clusters of the largest mean affinity merge first");
  yaml.key("  threshold", "0.05", "the lowest that is tried, from 0.95 on");
  yaml.key("  choose", "voi", "the threshold whose objects fit the labels best ...");
  yaml.key("  choose_sections", range_text(sections.choose), "... of these held-out sections");
}

void add_evaluate(const StartFacts& facts, YamlText& yaml) {
  if (!facts.inputs.labels) return;
  yaml.line();
  yaml.line("evaluate:");
  if (facts.checkpoint) {
    yaml.key("  labels", to_yaml(*facts.inputs.labels), "nothing is trained; these are compared with");
    add_label_meaning(facts, yaml);
  } else {
    const std::optional<ObjectSections> objects = object_sections(facts);
    yaml.key("  sections", range_text(objects ? objects->report : facts.split.validation.back()),
             objects ? "held out, and not among those that choose" : "held out");
    if (facts.split.one_section) {
      const Box& covered = facts.survey.found.covered;
      yaml.key("  region",
               fmt::format("{{begin: [{}, {}], end: [{}, {}]}}", covered.begin.y,
                           covered.begin.x + covered.shape().x * 3 / 4, covered.end.y, covered.end.x),
               "the held-out part of the section");
    }
  }
  yaml.key("  thresholds", "51", "border weights move the best threshold towards 0");
}

}  // namespace

std::string facts_text(const StartFacts& facts) {
  const DataSurvey& survey = facts.survey;
  std::string text = fmt::format(
      "raw     {}: {} {}{}, {}\n", facts.inputs.raw, to_string(survey.raw.shape), name_of(survey.raw.type),
      survey.raw.channels > 1 ? fmt::format(", {} channels", survey.raw.channels) : "", voxel_size(facts));
  text += fmt::format("grey    mean {:.4g}, deviation {:.3g}, from {:.4g} to {:.4g}\n", survey.grey.mean,
                      survey.grey.deviation, survey.grey.least, survey.grey.most);
  if (!survey.labels) return text;
  text += fmt::format("labels  {}\n", labels_text(facts));
  if (survey.found.grey_above_zero != 0 || survey.found.grey_of_zero != 0) {
    text += fmt::format("        mean grey value {:.4g} where they are 0, {:.4g} elsewhere\n",
                        survey.found.grey_of_zero, survey.found.grey_above_zero);
  }
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < std::min<std::size_t>(survey.found.annotated.size(), 6); ++i)
    runs.push_back(
        fmt::format("{} to {}", survey.found.annotated[i].begin, survey.found.annotated[i].end - 1));
  text += fmt::format("        annotated sections: {}{}\n", fmt::join(runs, ", "),
                      survey.found.annotated.size() > 6 ? ", ..." : "");
  return text;
}

std::vector<std::string> concerns_about(const StartFacts& facts) {
  std::vector<std::string> all;
  const DataSurvey& survey = facts.survey;
  if (!survey.grey.blank.empty()) {
    all.push_back(fmt::format("{} of {} sections looked at are blank, or nearly: {}",
                              survey.grey.blank.size(), survey.grey.sections,
                              numbers_text(survey.grey.blank)));
  }
  if (!survey.labels) return all;
  const LabelSurvey& found = survey.found;
  if (found.inverted)
    all.emplace_back(
        "the labels seem to be inverted (membranes above 0): data.invert_labels is set; look at the "
        "pictures");
  if (found.perhaps_ignored) {
    all.push_back(
        fmt::format("the labels hold {} different values ({}), and every value above 0 is class 1. If one of "
                    "them, such as {}, marks voxels that are not annotated, set data.ignore_label to it. If "
                    "they are ids of cells, set data.label_kind: instances",
                    found.id_count, label_ids_text(found.ids), *found.perhaps_ignored));
  }
  if (!found.misfit.empty())
    all.push_back(fmt::format("the labels {} {}", *facts.inputs.labels, found.misfit));
  if (found.shift != 0) {
    all.push_back(fmt::format(
        "the labels {0} fit the raw sections one {1} clearly better than those of their own number (mean "
        "grey values of 0 and above differ by {2:.4g} there, by {3:.4g} as given): are they shifted by one "
        "section? Compare section {4} of the labels with section {5} of {6} in a viewer, and move the labels",
        *facts.inputs.labels, found.shift > 0 ? "later" : "earlier", found.contrast_there, found.contrast, 1,
        1 + found.shift, facts.inputs.raw));
  }
  for (std::size_t i = 0; i < found.ids.size() && found.kind == LabelKind::classes; ++i) {
    if (found.shares[i] < 0.01)
      all.push_back(
          fmt::format("class {} has {:.2g} % of the labels only", found.ids[i], 100 * found.shares[i]));
  }
  if (facts.split.one_section)
    all.emplace_back("one section is annotated: scores on a part of it say little about other sections");
  return all;
}

std::string experiment_text(const StartFacts& facts, const StartSettings& settings) {
  YamlText yaml;
  yaml.comment(
      fmt::format("An experiment by tessera init {}. Change what you like: configs/all_keys.yaml explains "
                  "every key.",
                  tessera_version()));
  yaml.comment(fmt::format("  tessera check {0}.yaml    the plan: time, memory, disk", facts.name));
  yaml.comment(
      fmt::format("  tessera run {0}.yaml      train, predict, {1}score, report; goes on where it stopped",
                  facts.name, object_sections(facts) ? "segment, " : ""));
  yaml.comment("Found in the data:");
  const std::string found = facts_text(facts);
  for (std::size_t at = 0; at < found.size();) {
    const std::size_t end = found.find('\n', at);
    yaml.comment("  " + found.substr(at, end - at));
    at = end + 1;
  }
  for (const std::string& note : facts.inputs.notes)
    yaml.comment("  " + note);
  for (const std::string& concern : concerns_about(facts))
    yaml.comment("  note: " + concern);
  yaml.line();
  yaml.key("experiment", to_yaml(facts.name), fmt::format("the run folder is runs/{}", facts.name));
  if (settings.gpu && facts.machine.gpus == 0) yaml.key("device", "cuda", "as --gpu asks");
  yaml.line();
  add_data(facts, yaml);
  if (!facts.checkpoint || !facts.network.empty()) add_model(facts, settings, yaml);
  if (!facts.checkpoint) add_train(facts, settings, yaml);
  add_infer(facts, settings, yaml);
  if (const auto sections = object_sections(facts)) add_segment(facts, *sections, yaml);
  add_evaluate(facts, yaml);
  return yaml.text();
}

}  // namespace tessera
