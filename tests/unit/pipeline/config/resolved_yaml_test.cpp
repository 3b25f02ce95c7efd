/// The resolved form of an experiment parses to the same values.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/unit/pipeline/config/read_document.h"

namespace tessera {
namespace {

using testing::key;
using testing::read_train;
using testing::read_volumes;

TEST(YamlReader, ListsOfSectionsParseBackToTheSameValues) {
  ConfigDocument document("data:\n  volumes:\n  - raw: \"yes\"\n  - {raw: 'x.h5:/[0-a]*/raw', weight: 0.5}\n",
                          "e.yaml");
  ConfigSection root = document.root();
  read_volumes(root);
  root.section(key("data")).get<std::int64_t>(key("last"), 3);
  const std::string resolved = document.resolved_yaml();
  EXPECT_EQ(resolved,
            "data:\n  volumes:\n  - raw: \"yes\"\n    weight: 1\n    region:\n      begin: 0\n"
            "  - raw: \"x.h5:/[0-a]*/raw\"\n    weight: 0.5\n    region:\n      begin: 0\n  last: 3\n");
  ConfigDocument again(resolved, "resolved.yaml");
  ConfigSection second = again.root();
  read_volumes(second);
  second.section(key("data")).get<std::int64_t>(key("last"), 0);
  EXPECT_NO_THROW(again.finish());
  EXPECT_EQ(again.resolved_yaml(), resolved);
}

/// All value types of a config, with values that are easily misread.
std::string read_tricky(ConfigDocument& document) {
  ConfigSection root = document.root();
  root.get<std::string>(key("name"), "yes");
  ConfigSection first = root.section(key("first"));
  first.get<std::vector<std::string>>(
      key("words"),
      {"010",      "1e3",  "null",  ":",           "a: b",    "#x",          "",     " ",  "-",
       "a,b",      "[",    "\"q\"", "back\\slash", "tab\t",   "line\nbreak", "\x01", "~",  "Off",
       "04:00:00", ".inf", "0x1F",  "plain",       "p.h5:/x", "\xc3\xa9",    "- a",  "=",  "<<",
       "%",        "@",    "`",     "!x",          "&x",      "*x",          "'",    "a:", "a #b",
       "trailing "});
  first.get<double>(key("tiny"), 1e-300);
  first.get<double>(key("third"), 1.0 / 3);
  first.get<std::int64_t>(key("least"), std::numeric_limits<std::int64_t>::min());
  root.section(key("second")).section(key("empty"));
  first.get<bool>(key("late"), false);
  first.get_or_word<std::int64_t>(key("tile"), "auto", {"auto"});
  first.get<std::vector<std::int64_t>>(key("none"), {});
  first.optional<std::string>(key("absent"));
  document.finish();
  return document.resolved_yaml();
}

TEST(YamlReader, ResolvedConfigParsesBackToTheSameValues) {
  ConfigDocument fallbacks("", "e.yaml");
  const std::string resolved = read_tricky(fallbacks);
  EXPECT_EQ(resolved.substr(0, 24), "name: \"yes\"\nfirst:\n  wor");
  ConfigDocument again(resolved, "resolved.yaml");
  ConfigSection root = again.root();
  EXPECT_EQ(root.require<std::string>(key("name")), "yes");
  ConfigSection first = root.section(key("first"));
  const auto words = first.require<std::vector<std::string>>(key("words"), list_of(37)).value();
  EXPECT_EQ(words.at(1), "1e3");
  EXPECT_EQ(words.at(14), "line\nbreak");
  EXPECT_EQ(words.at(15), "\x01");
  EXPECT_EQ(words.at(23), "\xc3\xa9");
  EXPECT_EQ(first.require<double>(key("tiny")), 1e-300);
  EXPECT_EQ(first.require<double>(key("third")), 1.0 / 3);
  EXPECT_EQ(first.require<std::int64_t>(key("least")), std::numeric_limits<std::int64_t>::min());

  ConfigDocument third(resolved, "resolved.yaml");
  EXPECT_EQ(read_tricky(third), resolved);
}

TEST(YamlReader, ResolvedConfigHoldsTheGivenValues) {
  ConfigDocument document("train: {rate: 0.5}", "e.yaml", {"train.iterations=7"});
  ConfigSection root = document.root();
  read_train(root);
  EXPECT_EQ(document.resolved_yaml(),
            "train:\n  iterations: 7\n  rate: 0.5\n  augment: true\n  optimizer: adam\n");
}

}  // namespace
}  // namespace tessera
