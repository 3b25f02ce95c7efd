#include "pipeline/config/key_help.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "pipeline/config/experiment.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

const std::vector<KeyDescription>& keys() {
  static const std::vector<KeyDescription> all = known_keys();
  return all;
}

std::string all_keys_file() {
  std::ifstream in(TESSERA_SOURCE "/configs/all_keys.yaml");
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string line_with(const std::string& text, const std::string& begin) {
  const std::size_t at = ("\n" + text).find("\n" + begin);
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

TEST(KeyHelp, EveryKeyIsExplained) {
  ASSERT_GT(keys().size(), 150U);
  for (const KeyDescription& key : keys()) {
    EXPECT_GE(key.text.size(), 10U) << key.name;
    EXPECT_EQ(key.text.back(), '.') << key.name;
    EXPECT_LE(key.text.size(), 400U) << key.name;
    if (key.kind == KeyDescription::Kind::value) {
      EXPECT_NE(key.example, "") << key.name << " has no default, so it needs an example";
    }
    EXPECT_TRUE(key.kind != KeyDescription::Kind::value || !key.fallback.empty() ||
                !key.fallback_text.empty() || !key.required_by.empty())
        << key.name << ": say what happens without it";
    for (const std::string& other : key.related)
      EXPECT_NE(find_key(keys(), other), nullptr)
          << key.name << " is related to " << other << ", which does not exist";
    if (!key.page.empty()) {
      EXPECT_TRUE(std::filesystem::exists(std::string(TESSERA_SOURCE "/") + key.page)) << key.page;
    }
  }
}

/// What else an example needs, and keys of lists in a list.
std::vector<std::string> settings_of(const KeyDescription& key) {
  static const std::map<std::string, std::vector<std::string>> needed{
      {"model.margin", {"model.torchscript=n.pt"}},
      {"model.alignment", {"model.torchscript=n.pt"}},
      {"model.activation", {"model.torchscript=n.pt"}},
      {"infer.normalisation", {"infer.mean_and_std=[128, 40]"}},
      {"infer.mean_and_std", {"infer.normalisation=fixed"}},
      {"segment.offsets", {"segment.input=affinities"}},
      {"segment.fill_holes", {"segment.method=components", "segment.connectivity=4"}},
      {"segment.choose", {"segment.choose_labels=l.h5:/l", "segment.choose_sections=[0, 2]"}}};
  std::vector<std::string> settings;
  if (const auto found = needed.find(key.name); found != needed.end()) settings = found->second;
  std::string name = key.name;
  if (const std::string list = "data.volumes"; name.starts_with(list + "."))
    name = list + "[0]" + name.substr(list.size());
  settings.push_back(fmt::format("{}={}", name, key.example));
  return settings;
}

TEST(KeyHelp, EveryExampleIsValid) {
  const std::string text =
      "experiment: e\ndata:\n  volumes:\n  - {raw: 'a.h5:/r', labels: 'a.h5:/l', train_sections: [0, 4], "
      "validation_sections: [16, 20]}\n";
  int tried = 0;
  for (const KeyDescription& key : keys()) {
    if (key.kind != KeyDescription::Kind::value) continue;
    EXPECT_EQ(testing::message_of([&] { parse_experiment(text, "e.yaml", settings_of(key), {}); }),
              "no error")
        << key.name;
    ++tried;
  }
  EXPECT_GT(tried, 140);
}

TEST(KeyHelp, TheExamplesOfThePagesAreYaml) {
  for (const KeyDescription& key : keys()) {
    if (key.kind != KeyDescription::Kind::value || key.name == "experiment") continue;
    const std::string page = key_page(key, keys());
    const std::string line = line_with(page, "  example   ");
    ASSERT_GT(line.size(), 12U) << page;
    const std::string message = testing::message_of(
        [&] { parse_experiment("experiment: e\n" + line.substr(12) + "\n", "e.yaml", {}, {}); });
    EXPECT_EQ(message.find("not valid YAML"), std::string::npos) << line << message;
    EXPECT_EQ(message.find("unknown key"), std::string::npos) << line << message;
    EXPECT_NE(page.find("--set "), std::string::npos) << page;
  }
}

TEST(KeyHelp, APageSaysTypeRangeDefaultAndMore) {
  EXPECT_EQ(key_page(*find_key(keys(), "train.momentum"), keys()),
            "train.momentum\n\n"
            "  Of sgd: the share of the velocity that each step keeps.\n\n"
            "  type      a number, 0 to 0.9999\n"
            "  default   0.99\n"
            "  example   train: {momentum: 0.9}\n"
            "  or        --set train.momentum=0.9\n"
            "  related   train.optimizer\n"
            "  more      docs/training.md\n");
  const auto default_of = [](const std::string& name) { return default_text(*find_key(keys(), name)); };
  EXPECT_EQ(default_of("model.base_filters"), "64; 16 with model.preset: keras_same");
  EXPECT_EQ(default_of("data.raw"), "required by train");
  EXPECT_EQ(default_of("infer.raw"), "data.raw");
  EXPECT_EQ(default_of("experiment"), "required by every verb");
  EXPECT_EQ(default_of("data.volumes[3].label_kind"), "data.label_kind");
  EXPECT_EQ(default_of("slurm.infer.nodes"), "slurm.nodes");
  EXPECT_EQ(find_key(keys(), "train.momentun"), nullptr);
}

TEST(KeyHelp, ASectionListsItsKeys) {
  for (const char* name : {"data", "model", "train", "infer", "evaluate", "slurm", "train.augmentation"}) {
    const std::string page = section_page(*find_key(keys(), name), keys());
    std::size_t begin = 0;
    for (std::size_t end = page.find('\n'); end != std::string::npos;
         begin = end + 1, end = page.find('\n', begin))
      EXPECT_LE(end - begin, 100U) << page.substr(begin, end - begin);
    for (const KeyDescription& key : keys()) {
      if (key.section() == name) {
        EXPECT_NE(page.find("\n  " + key.last_name() + " "), std::string::npos) << key.name;
      }
    }
  }
}

TEST(KeyHelp, TheFileOfAllKeysIsTheGeneratedOne) {
  EXPECT_EQ(all_keys_yaml(keys()), all_keys_file()) << "run: tessera help --all-keys > configs/all_keys.yaml";
}

TEST(KeyHelp, TheFileOfAllKeysIsAnExperimentOfDefaults) {
  const ExperimentConfig config =
      parse_experiment(all_keys_file(), "all_keys.yaml", {}, {.training = true, .inference = true});
  const ExperimentConfig bare = parse_experiment(
      "experiment: example\ndata: {raw: 'em.h5:/volumes/raw', labels: 'em.h5:/volumes/labels/cells', "
      "train_sections: "
      "[0, 16]}\ninfer: {output: 'runs/example/prediction.h5:/volumes/predictions/interior'}\n"
      "segment: {output: 'runs/example/segmentation.h5:/volumes/labels/neuron_ids'}\n",
      "bare.yaml", {}, {.training = true, .inference = true});
  EXPECT_EQ(config.resolved_yaml, bare.resolved_yaml);
}

}  // namespace
}  // namespace tessera
