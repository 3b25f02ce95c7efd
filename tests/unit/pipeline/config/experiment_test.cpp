#include "pipeline/config/experiment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "pipeline/config/yaml_scalar.h"
#include "tests/unit/error_message.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using Overrides = std::vector<std::string>;
using testing::message_of;

std::string text_of(const std::optional<DatasetName>& name) {
  return name ? name->text() : "-";
}
std::string text_of(const std::optional<Sections>& sections) {
  return sections ? fmt::format("[{}, {})", sections->begin, sections->end) : "-";
}
std::string text_of(const std::optional<Index3>& at) {
  return at ? to_string(*at) : "-";
}

/// What the verbs read from an experiment, in addition to its resolved text.
std::string meaning_of(const ExperimentConfig& c) {
  std::vector<std::string> said{c.name, c.run_folder.string(), c.device, c.model.preset};
  const auto say = [&](const auto&... values) { (said.push_back(fmt::format("{}", values)), ...); };
  std::vector<VolumeConfig> volumes = c.data.all_volumes();
  volumes.push_back(c.data);
  for (const VolumeConfig& v : volumes) {
    say(v.key, text_of(v.raw), text_of(v.labels), text_of(v.train_sections), text_of(v.validation_sections),
        v.label_kind == LabelKind::instances, v.invert_labels, v.ignore_label.value_or(1234),
        text_of(v.region_begin), text_of(v.region_end), v.sampling_weight.value_or(-1));
  }
  say(c.data.normalisation == NormalisationScope::volume, c.data.min_foreground, c.data.allow_one_class);
  const UNetOptions& m = c.model;
  say(m.in_channels, m.classes, m.base_filters, m.depth, m.padding == Padding::valid, m.batch_norm,
      m.block_convs, m.up_kernel, m.dropout, m.dropout_place == DropoutPlace::every_level);
  if (c.model.torchscript)
    say(c.model.torchscript->file.string(), c.model.torchscript->margin.value_or(-1),
        c.model.torchscript->activation.has_value());
  const TrainConfig& t = c.train;
  const OptimizerOptions& o = t.trainer.optimizer;
  const AugmentationOptions& a = t.trainer.samples.augmentation;
  say(t.iterations, t.minutes, t.tile_auto, t.trainer.samples.tile_side, t.trainer.global_batch,
      static_cast<int>(o.kind), o.learning_rate, o.momentum, o.beta1, o.beta2, o.weight_decay,
      t.trainer.schedule.warm_up, t.trainer.schedule.power, t.trainer.clip_norm, t.trainer.average_decay,
      t.weight_map.w0, t.weight_map.sigma, t.ignore_label.value_or(1234), t.trainer.samples.seed, t.threads,
      t.precision.has_value(), t.report_every, t.trainer.samples_at_once,
      static_cast<int>(t.trainer.sampling), t.validate_every, t.patience, a.rotate, a.contrast, a.elastic,
      a.gamma);
  const InferConfig& i = c.infer;
  say(text_of(i.raw), text_of(i.output), i.checkpoint, text_of(i.tile), text_of(i.block), text_of(i.chunk),
      i.precision.has_value(), text_of(i.region_begin), text_of(i.region_end),
      fmt::format("{}", fmt::join(i.classes, ",")), i.labels, name_of(i.type), static_cast<int>(i.averaging),
      static_cast<int>(i.blending), i.blend_overlap, static_cast<int>(i.normalisation),
      i.fixed_normalisation.mean, i.fixed_normalisation.std, text_of(i.skip_mask),
      i.background ? i.background->second : -1, i.threads, i.reproducible, static_cast<int>(i.exact_tiles),
      i.memory_budget, i.max_retries, i.watchdog_minutes);
  const EvaluateConfig& e = c.evaluate;
  say(name_of(e.label_kind), e.ignore_label.value_or(1234), text_of(e.region_begin), text_of(e.region_end));
  say(text_of(e.prediction), text_of(e.labels), text_of(e.sections), e.thresholds, e.invert_labels,
      name_of(e.kind), fmt::format("{}", fmt::join(e.scores, ",")), e.watchdog_minutes,
      c.train.watchdog_minutes);
  const SlurmConfig& s = c.slurm;
  for (const SlurmResources& r : {s.train, s.infer, s.evaluate, s.report})
    say(r.partition, r.time, r.memory, r.constraint, r.nodes, r.gpus_per_node, r.tasks_per_node,
        r.cpus_per_task);
  say(s.account, s.qos, s.mail_user, s.mail_type, s.array_limit, s.stop_before, s.restarts, s.mpi,
      fmt::format("{}", fmt::join(s.options, ",")), s.site_env);
  return fmt::format("{}", fmt::join(said, "\n"));
}

/// The law: the resolved text parses to the same experiment and resolves to itself.
void expect_stable(const std::string& text, const Overrides& overrides, const ConfigNeeds& needs) {
  const ExperimentConfig first = parse_experiment(text, "e.yaml", overrides, needs);
  const ExperimentConfig again = parse_experiment(first.resolved_yaml, "resolved.yaml", {}, needs);
  EXPECT_EQ(again.resolved_yaml, first.resolved_yaml);
  EXPECT_EQ(meaning_of(again), meaning_of(first)) << first.resolved_yaml;
}

TEST(ResolvedExperiment, RoundTripsEveryFile) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(TESSERA_SOURCE) / "configs")) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().string());
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    expect_stable(text.str(), {}, {});
    expect_stable(text.str(),
                  {"run_folder=\"else: where #1\"", "train.learning_rate=1e-7", "train.seed=123456789012345"},
                  {});
    expect_stable(
        text.str(),
        {"infer.raw=stacks/[a-c]*.h5:/v*/raw", "infer.output=p/*_?.h5:/p/*", "infer.classes=[2, 0]"},
        {.inference = true});
    expect_stable(text.str(),
                  {"evaluate.labels=l/*.h5:/x", "evaluate.sections=[0, 3]", "model.preset=keras_same",
                   "train.tile=auto", "infer.precision=bfloat16", "infer.region.begin=[0, 1, 2]"},
                  {});
    ++files;
  }
  EXPECT_GE(files, 8);
}

TEST(ResolvedExperiment, RoundTripsListsAndNestedDefaults) {
  const std::string text = R"(
experiment: "yes"
data:
  raw: "a: b.h5:/raw"
  labels: a.h5:/labels
  train_sections: [0, 4]
  invert_labels: true
  volumes:
  - region: {begin: [1, 2], end: [30, 40]}
  - {raw: "s*.h5:/[0-9]*/raw", labels: "l*.h5:/[0-9]*/l", validation_sections: [0, 1]}
train: {ignore_label: 18446744073709551615, minutes: 0.1, watchdog_minutes: 2, weight_map: {w0: 1e-3}}
infer: {raw: a.h5:/raw, output: "o.h5:/p", skip: {mask: "m.h5:/m", background: [-1.5, 2]}, watchdog_minutes: 0.5}
slurm: {time: "04:00:00", memory: "010"}
)";
  expect_stable(text, {}, {.training = true, .inference = true});
  expect_stable(text,
                {"data.volumes[1].ignore_label=3", "infer.class=0", "model.preset=keras_same",
                 "model.padding=valid", "slurm.time=\"12\""},
                {.training = true});
  expect_stable(text, {"model.preset=ciresan2012", "model.base_filters=8"}, {.training = true});
}

/// Text with every byte that is legal in a file name.
std::vector<std::string> odd_texts() {
  std::vector<std::string> texts{"",
                                 "~",
                                 "null",
                                 "true",
                                 "No",
                                 "012",
                                 "1e3",
                                 "0x1F",
                                 ".5",
                                 "-",
                                 "- a",
                                 "? a",
                                 "a: b",
                                 "a #b",
                                 "#b",
                                 "&a",
                                 "*a",
                                 "!t",
                                 "%x",
                                 "@x",
                                 "`x`",
                                 "'x'",
                                 "\"x\"",
                                 "{a",
                                 "[a]",
                                 "a, b",
                                 "|",
                                 ">",
                                 "=",
                                 "a=b",
                                 "key=a=b",
                                 " a ",
                                 "\ta",
                                 "a\n\nb",
                                 "\r\n",
                                 "---",
                                 "...",
                                 "<<",
                                 "\xc3\xbc",
                                 "\xff",
                                 "a\xc2\x85"
                                 "b",
                                 "\xe2\x80\xa8",
                                 "\xef\xbb\xbf"
                                 "a",
                                 "C:\\x",
                                 "a\\*b\\",
                                 "2001-01-01",
                                 "12:30:45"};
  for (int byte = 1; byte < 256; ++byte)
    texts.push_back(fmt::format("a{}b", static_cast<char>(byte)));
  return texts;
}

TEST(ResolvedExperiment, KeepsUnusualTexts) {
  for (const std::string& odd : odd_texts()) {
    SCOPED_TRACE(fmt::format("{} bytes: {}", odd.size(), to_yaml(odd)));
    const std::string dataset = fmt::format("f{}:/p{}", odd, odd);
    const Overrides overrides{"slurm.site_env=" + to_yaml(odd), "infer.raw=" + to_yaml(dataset),
                              "evaluate.labels=" + to_yaml(dataset)};
    const std::string text = "experiment: e\ninfer: {output: o.h5:/p}\n";
    const ExperimentConfig config = parse_experiment(text, "e.yaml", overrides, {.inference = true});
    EXPECT_EQ(config.slurm.site_env, odd);
    EXPECT_EQ(text_of(config.infer.raw), dataset);
    expect_stable(text, overrides, {.inference = true});
  }
}

ExperimentConfig parsed(const std::string& text, const Overrides& overrides = {}) {
  return parse_experiment("experiment: e\n" + text, "e.yaml", overrides, {});
}

TEST(Experiment, AnyIdCanBeIgnored) {
  for (const char* id : {"18446744073709551615", "-1"}) {
    EXPECT_EQ(parsed("", {fmt::format("data.ignore_label={}", id)}).data.ignore_label, ~LabelId{0}) << id;
    EXPECT_EQ(parsed("", {fmt::format("train.ignore_label={}", id)}).data.ignore_label, ~LabelId{0}) << id;
  }
  EXPECT_EQ(
      parsed("data: {ignore_label: -1}\ntrain: {ignore_label: 18446744073709551615}\n").data.ignore_label,
      ~LabelId{0})
      << "the same id";
  for (const char* wrong : {"0xff", "1.5", "18446744073709551616", "one"}) {
    EXPECT_NE(message_of([&] { parsed("", {fmt::format("data.ignore_label={}", wrong)}); })
                  .find("is not the id of a label: a whole number from -9223372036854775808 to "
                        "18446744073709551615 in decimal digits"),
              std::string::npos)
        << wrong;
  }
}

TEST(Experiment, EvaluateTakesTheTargetsOfTheLabelsVolume) {
  const std::string data = R"(
data:
  raw: a.h5:/raw
  labels: a.h5:/labels
  label_kind: instances
  ignore_label: 7
  region: {begin: [1, 2], end: [30, 40]}
  volumes:
  - {raw: "b.h5:/[0-9]/raw", labels: "b.h5:/[0-9]/l", label_kind: classes, invert_labels: true, ignore_label: 8}
)";
  const EvaluateConfig own = parsed(data).evaluate;
  EXPECT_EQ(own.label_kind, LabelKind::instances);
  EXPECT_EQ(own.ignore_label, LabelId{7});
  EXPECT_EQ(text_of(own.region_begin) + text_of(own.region_end), "(0, 1, 2)(0, 30, 40)");
  const EvaluateConfig listed = parsed(data, {"evaluate.labels=b.h5:/3/l"}).evaluate;
  EXPECT_EQ(listed.label_kind, LabelKind::classes);
  EXPECT_TRUE(listed.invert_labels);
  EXPECT_EQ(listed.ignore_label, LabelId{8});
  EXPECT_EQ(text_of(listed.region_end), "(0, 30, 40)") << "the list's default";
  const EvaluateConfig other = parsed(data, {"evaluate.labels=c.h5:/3/l"}).evaluate;
  EXPECT_EQ(other.label_kind, LabelKind::instances);
  EXPECT_EQ(other.ignore_label, LabelId{7});
  EXPECT_EQ(text_of(other.region_end), "-") << "the region is that of another volume";
  const EvaluateConfig set = parsed(data, {"evaluate.label_kind=classes", "evaluate.ignore_label=-1",
                                           "evaluate.region.begin=[0, 0]", "evaluate.region.end=[9, 8]"})
                                 .evaluate;
  EXPECT_EQ(set.label_kind, LabelKind::classes);
  EXPECT_EQ(set.ignore_label, ~LabelId{0});
  EXPECT_EQ(text_of(set.region_end), "(0, 9, 8)");
  EXPECT_EQ(parsed("train: {ignore_label: 5}\ndata: {raw: a.h5:/r, labels: a.h5:/l}\n").evaluate.ignore_label,
            LabelId{5});
}

TEST(Experiment, TheSlidingWindowNetworkHasNoKeysOfUNets) {
  const auto parse = [](const std::string& model) {
    return parse_experiment("experiment: e\nmodel: " + model + "\n", "e.yaml", {}, {});
  };
  const ExperimentConfig config = parse("{preset: ciresan2012, in_channels: 3, classes: 4}");
  EXPECT_EQ(config.model.base_filters, 48);
  EXPECT_EQ(config.network().in_channels, 3);
  EXPECT_EQ(config.network().classes(), 4);
  EXPECT_EQ(geometry_of(config.network()).margin, 47);
  EXPECT_EQ(config.resolved_yaml.find("depth"), std::string::npos);
  for (const char* key :
       {"depth: 4", "padding: valid", "batch_norm: false", "dropout: 0", "block_convs: 2"}) {
    const std::string message = message_of([&] { parse(fmt::format("{{preset: ciresan2012, {}}}", key)); });
    EXPECT_NE(message.find("goes with the U-Nets: remove it"), std::string::npos) << key << message;
  }
}

TEST(Experiment, RejectsAnEmptyDatasetName) {
  const std::string message = message_of([] {
    parse_experiment("experiment: e\ninfer: {raw: \"\", output: o.h5:/p}\n", "e.yaml", {},
                     {.inference = true});
  });
  EXPECT_NE(message.find("e.yaml:2:9: infer.raw: '' does not name a dataset"), std::string::npos) << message;
}

}  // namespace
}  // namespace tessera
