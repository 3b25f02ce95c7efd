/// Overrides of an experiment, `--set KEY=VALUE`.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/pipeline/config/read_document.h"

namespace tessera {
namespace {

using testing::complaint;
using testing::key;
using testing::read_train;
using testing::read_volumes;

TEST(YamlReader, OverridesReplaceAndCreate) {
  ConfigDocument document("train: {iterations: 5}\nempty:\n", "e.yaml",
                          {"train.iterations=20", "data.sections=[1, 2]", "data.raw=a.h5:/x",
                           "empty.key=true", "train.iterations=30"});
  ConfigSection root = document.root();
  EXPECT_EQ(root.section(key("train")).require<std::int64_t>(key("iterations")), 30);
  EXPECT_EQ(root.section(key("data")).require<std::vector<std::int64_t>>(key("sections")),
            (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(root.section(key("data")).require<std::string>(key("raw")), "a.h5:/x");
  EXPECT_EQ(root.section(key("empty")).require<bool>(key("key")), true);
  EXPECT_NO_THROW(document.finish());
}

TEST(YamlReader, OverridesSetListElements) {
  const std::string text = "data:\n  volumes:\n  - raw: a\n  - {raw: b, region: {begin: 1}}\n";
  ConfigDocument document(
      text, "e.yaml",
      {"data.volumes[1].raw=c", "data.volumes[0].weight=2", "data.volumes[1].region.begin=7"});
  ConfigSection root = document.root();
  std::vector<ConfigSection> volumes = root.section(key("data")).sections(key("volumes"));
  ASSERT_EQ(volumes.size(), 2U);
  EXPECT_EQ(volumes[0].path(), "data.volumes[0]");
  EXPECT_EQ(volumes[0].require<std::string>(key("raw")), "a");
  EXPECT_EQ(volumes[0].get<double>(key("weight"), 1), 2);
  EXPECT_EQ(volumes[1].require<std::string>(key("raw")), "c");
  EXPECT_EQ(volumes[1].section(key("region")).get<std::int64_t>(key("begin"), 0), 7);
  EXPECT_NO_THROW(document.finish());
  for (const char* wrong : {"data.volumes[2].raw", "data.volumes[-1].raw", "data.volumes[x].raw"}) {
    EXPECT_EQ(complaint(text, read_volumes, {std::string(wrong) + "=c"}),
              "--set " + std::string(wrong) + "=c: " + wrong +
                  ": the file's data.volumes is not a list with this item; items "
                  "count from 0");
  }
  EXPECT_EQ(complaint(text, read_volumes, {"data.volumes[0].wieght=1"}),
            "--set data.volumes[0].wieght=1: data.volumes[0].wieght: unknown key; did you mean 'weight'?");
  EXPECT_EQ(complaint(text, read_volumes, {"data.volumes[0]=1"}),
            "--set data.volumes[0]=1: data.volumes[0]: is a section; set its keys one by one");
  EXPECT_EQ(complaint(text, read_volumes, {"data.volumes=[{raw: x, wieght: 1}]"}),
            "--set data.volumes=[{raw: x, wieght: 1}]: data.volumes[0].wieght: unknown key; did you mean "
            "'weight'?");
}

TEST(YamlReader, OverridesAreStrict) {
  EXPECT_EQ(complaint("", read_train, {"train.iterations=010"}),
            "--set train.iterations=010: train.iterations: '010' is not a whole number in decimal digits");
  EXPECT_EQ(
      complaint("", read_train, {"train.iterations="}),
      "--set train.iterations=: train.iterations: an empty value is not a whole number in decimal digits");
  EXPECT_EQ(complaint("", read_train, {"iterations"}),
            "--set iterations: write KEY=VALUE, such as train.iterations=20");
  EXPECT_EQ(complaint("", read_train, {"train..x=1"}),
            "--set train..x=1: write KEY=VALUE, such as train.iterations=20");
  EXPECT_EQ(complaint("train: {rate: 1}", read_train, {"train.rate.x=1"}),
            "--set train.rate.x=1: train.rate.x: train.rate is a value, not a section");
  EXPECT_EQ(complaint("train: {rate: 1}", read_train, {"train=1"}),
            "--set train=1: train: is a section; set its keys one by one");
  EXPECT_EQ(complaint("", read_train, {"train={rate: 1}"}),
            "--set train={rate: 1}: train: a whole section cannot be set; set its keys one by one");
  EXPECT_EQ(complaint("", read_train, {"train.rate=[1"}).substr(0, 37),
            "--set train.rate=[1: not valid YAML: ");
}

}  // namespace
}  // namespace tessera
