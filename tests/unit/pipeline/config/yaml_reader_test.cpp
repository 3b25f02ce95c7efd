#include "pipeline/config/yaml_reader.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/pipeline/config/read_document.h"

namespace tessera {
namespace {

using testing::complaint;
using testing::key;
using testing::read_nothing;
using testing::read_train;
using testing::read_volumes;
using testing::Reading;

TEST(YamlReader, ReadsEveryType) {
  ConfigDocument document(
      "word: isbi\n"
      "number: -2.5e-3\n"
      "count: -12\n"
      "flag: false\n"
      "range: [0, 16]\n"
      "rates: [1, 0.5]\n"
      "names:\n  - a\n  - \"b c\"\n"
      "tile: 572\n"
      "threads: auto\n"
      "plain: 04:00:00\n",
      "e.yaml");
  ConfigSection root = document.root();
  EXPECT_EQ(root.require<std::string>(key("word")), "isbi");
  EXPECT_EQ(root.require<double>(key("number")), -2.5e-3);
  EXPECT_EQ(root.require<std::int64_t>(key("count")), -12);
  EXPECT_FALSE(root.get<bool>(key("flag"), true));
  EXPECT_EQ(root.require<std::vector<std::int64_t>>(key("range"), list_of(2)),
            (std::vector<std::int64_t>{0, 16}));
  EXPECT_EQ(root.require<std::vector<double>>(key("rates")), (std::vector<double>{1, 0.5}));
  EXPECT_EQ(root.require<std::vector<std::string>>(key("names")), (std::vector<std::string>{"a", "b c"}));
  const auto tile = root.get_or_word<std::int64_t>(key("tile"), "auto", {"auto"}, at_least(188));
  EXPECT_EQ(std::get<std::int64_t>(tile), 572);
  const auto threads = root.get_or_word<std::int64_t>(key("threads"), 2, {"auto"});
  EXPECT_EQ(std::get<std::string>(threads), "auto");
  EXPECT_EQ(root.require<std::string>(key("plain")), "04:00:00");
  EXPECT_EQ(root.optional<std::string>(key("absent")), std::nullopt);
  EXPECT_EQ(root.section(key("absent_section")).get<std::int64_t>(key("key"), 7), 7);
  EXPECT_TRUE(root.has("word"));
  EXPECT_FALSE(root.has("absent"));
  EXPECT_NO_THROW(document.finish());
}

TEST(YamlReader, EmptyFileGivesDefaults) {
  EXPECT_EQ(complaint("", read_train), "");
  EXPECT_EQ(complaint("# nothing\n", read_train), "");
  EXPECT_EQ(complaint("train:\n", read_train), "");
}

TEST(YamlReader, MisspeltKey) {
  EXPECT_EQ(complaint("train:\n  rate: 1\n  iteratons: 3\n", read_train),
            "e.yaml:3:3: train.iteratons: unknown key; did you mean 'iterations'?");
}

TEST(YamlReader, MisspeltSection) {
  EXPECT_EQ(complaint("trian:\n  iteratons: 3\n", read_train),
            "e.yaml:1:1: trian: unknown key; did you mean 'train'?");
}

TEST(YamlReader, UnknownKeyWithoutASuggestion) {
  EXPECT_EQ(complaint("{train: {}, completely_else: 1}", read_train),
            "e.yaml:1:13: completely_else: unknown key");
}

TEST(YamlReader, WrongTypes) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"iterations: 010", "iterations: '010' is not a whole number in decimal digits"},
      {"iterations: 0x10", "iterations: '0x10' is not a whole number in decimal digits"},
      {"iterations: 1e3", "iterations: '1e3' is not a whole number in decimal digits"},
      {"iterations: 1.0", "iterations: '1.0' is not a whole number in decimal digits"},
      {"iterations: +1", "iterations: '+1' is not a whole number in decimal digits"},
      {"iterations: 99999999999999999999",
       "iterations: '99999999999999999999' is not a whole number in decimal digits"},
      {"iterations: \"5\"", "iterations: the text \"5\" is not a whole number in decimal digits"},
      {"iterations: [5]", "iterations: a list is not a whole number in decimal digits"},
      {"iterations: {a: 5}", "iterations: a section is not a whole number in decimal digits"},
      {"rate: .nan", "rate: '.nan' is not a finite number"},
      {"rate: .inf", "rate: '.inf' is not a finite number"},
      {"rate: 1e999", "rate: '1e999' is not a finite number"},
      {"rate: 1 2", "rate: '1 2' is not a finite number"},
      {"augment: yes", "augment: 'yes' is not true or false"},
      {"augment: True", "augment: 'True' is not true or false"},
      {"augment: 1", "augment: '1' is not true or false"},
      {"optimizer: [adam]", "optimizer: a list is not text"},
  };
  for (const auto& [line, words] : cases) {
    const std::size_t column = 3 + line.find(' ') + 1;
    EXPECT_EQ(complaint("train:\n  " + line + "\n", read_train),
              "e.yaml:2:" + std::to_string(column) + ": train." + words);
  }
}

TEST(YamlReader, EmptyValueIsReportedAtItsKey) {
  EXPECT_EQ(complaint("train:\n  rate: 1\n  iterations:\n", read_train),
            "e.yaml:3:3: train.iterations: an empty value is not a whole number in decimal digits");
  EXPECT_EQ(complaint("train:\n  iterations: null\n", read_train),
            "e.yaml:2:3: train.iterations: an empty value is not a whole number in decimal digits");
}

TEST(YamlReader, OutOfRange) {
  EXPECT_EQ(complaint("train:\n  iterations: 0\n", read_train),
            "e.yaml:2:15: train.iterations: is 0 but must be at least 1");
  EXPECT_EQ(complaint("train: {rate: 0.0}\n", read_train),
            "e.yaml:1:15: train.rate: is 0.0 but must be more than 0");
  EXPECT_EQ(complaint("p: 1.5\n", [](ConfigSection& root) { root.get<double>(key("p"), 0, between(0, 1)); }),
            "e.yaml:1:4: p: is 1.5 but must be at most 1");
}

TEST(YamlReader, Choices) {
  EXPECT_EQ(complaint("train:\n  optimizer: adan\n", read_train),
            "e.yaml:2:14: train.optimizer: 'adan' is none of adam, sgd; did you mean 'adam'?");
}

TEST(YamlReader, WordOrNumber) {
  const Reading read = [](ConfigSection& root) {
    root.get_or_word<std::int64_t>(key("tile"), "auto", {"auto"}, at_least(188));
  };
  EXPECT_EQ(
      complaint("tile: auot", read),
      "e.yaml:1:7: tile: 'auot' is neither a whole number in decimal digits nor auto; did you mean 'auto'?");
  EXPECT_EQ(complaint("tile: 12", read), "e.yaml:1:7: tile: is 12 but must be at least 188");
  EXPECT_EQ(complaint("tile: [1]", read),
            "e.yaml:1:7: tile: a list is neither a whole number in decimal digits nor auto");
}

TEST(YamlReader, Lists) {
  const Reading read = [](ConfigSection& root) {
    root.require<std::vector<std::int64_t>>(key("sections"), at_least(0).of_count(2));
  };
  EXPECT_EQ(complaint("sections: [0, 16]", read), "");
  EXPECT_EQ(complaint("sections: [0, 1, 2]", read),
            "e.yaml:1:11: sections: needs a list of 2, this one has 3");
  EXPECT_EQ(
      complaint("sections: 16", read),
      "e.yaml:1:11: sections: '16' is not a list, such as [a, b]; each element must be a whole number in "
      "decimal digits");
  EXPECT_EQ(complaint("sections:\n  - 0\n  - x\n", read),
            "e.yaml:3:5: sections[1]: 'x' is not a whole number in decimal digits");
  EXPECT_EQ(complaint("sections: [0, -1]", read), "e.yaml:1:15: sections[1]: is -1 but must be at least 0");
}

TEST(YamlReader, MissingKeyIsReportedAtItsSection) {
  const Reading read = [](ConfigSection& root) {
    root.section(key("data")).require<std::string>(key("raw"));
  };
  EXPECT_EQ(complaint("\ndata: {}\n", read), "e.yaml:2:1: data.raw: is missing, and it has no default");
  EXPECT_EQ(complaint("\n", read), "e.yaml:1:1: data.raw: is missing, and it has no default");
}

TEST(YamlReader, ValueInsteadOfASection) {
  EXPECT_EQ(complaint("train: 5\n", read_train),
            "e.yaml:1:8: train: '5' where a section (key: value lines) is needed");
  EXPECT_EQ(complaint("- a\n", read_train),
            "e.yaml:1:1: a list where a section (key: value lines) is needed");
  EXPECT_EQ(complaint("train:5\n", read_train),
            "e.yaml:1:1: 'train:5' where a section (key: value lines) is needed");
}

TEST(YamlReader, RulesBetweenFieldsAreReportedAtTheKey) {
  const Reading read = [](ConfigSection& root) {
    ConfigSection train = root.section(key("train"));
    train.get<std::int64_t>(key("batch"), 1);
    train.problem("batch", "must be a multiple of 4");
    train.problem("absent", "is needed too");
  };
  EXPECT_EQ(complaint("a: 1\ntrain:\n  batch: 3\n", read),
            "e.yaml:1:1: a: unknown key\n"
            "e.yaml:2:1: train.absent: is needed too\n"
            "e.yaml:3:3: train.batch: must be a multiple of 4");
}

TEST(YamlReader, ReportsAllProblemsInOrder) {
  EXPECT_EQ(complaint("zzz: 1\ntrain:\n  optimizer: sdg\n  iterations: x\n  iterations: 5\n", read_train,
                      {"train.rate=fast", "train.iterashuns=1"}),
            "e.yaml:1:1: zzz: unknown key\n"
            "e.yaml:3:14: train.optimizer: 'sdg' is none of adam, sgd; did you mean 'sgd'?\n"
            "e.yaml:4:15: train.iterations: 'x' is not a whole number in decimal digits\n"
            "e.yaml:5:3: iterations: this key stands twice here, first on line 4\n"
            "--set train.rate=fast: train.rate: 'fast' is not a finite number\n"
            "--set train.iterashuns=1: train.iterashuns: unknown key; did you mean 'iterations'?");
}

TEST(YamlReader, SyntaxErrors) {
  EXPECT_EQ(complaint("a: 1\nb: [1, 2\n", read_nothing),
            "e.yaml:3:1: not valid YAML: end of sequence flow not found (indent by spaces, not tabs; write "
            "'key: value' with a space after the colon; close brackets and quotes)");
  EXPECT_EQ(complaint("a: 1\nb: [1, 2", read_nothing).substr(0, 28), "e.yaml:2:4: not valid YAML: ");
  EXPECT_EQ(complaint("a: b: c\n", read_nothing).substr(0, 27), "e.yaml:1:5: not valid YAML:");
  EXPECT_EQ(complaint("a: 'x'y\n", read_nothing).substr(0, 27), "e.yaml:1:7: not valid YAML:");
}

TEST(YamlReader, RejectsUnneededYamlFeatures) {
  EXPECT_EQ(complaint("a: &x 1\nb: *x\n", read_nothing),
            "e.yaml:1:4: anchors (&x) are not allowed; write the value out where it is used");
  EXPECT_EQ(complaint("a: !!int 1\n", read_nothing),
            "e.yaml:1:4: tags (tag:yaml.org,2002:int) are not allowed");
  EXPECT_EQ(complaint("a: !!map {}\n", read_nothing),
            "e.yaml:1:4: tags (tag:yaml.org,2002:map) are not allowed");
  EXPECT_EQ(complaint("a: 1\n---\nb: 1\n", read_nothing),
            "e.yaml:2:1: a second document starts here; a file is one experiment");
  EXPECT_EQ(complaint("? [a]\n: 1\n", read_nothing),
            "e.yaml:1:3: a key must be a word, not empty, a list or a map");
  EXPECT_EQ(complaint("~: 1\n", read_nothing),
            "e.yaml:1:1: a key must be a word, not empty, a list or a map");
  EXPECT_EQ(complaint("5: 1\n", read_nothing),
            "e.yaml:1:1: the key '5' is a number or a truth value, not a word");
}

TEST(YamlReader, RejectsAliasBombs) {
  std::string aliases = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'k'; ++c) {
    aliases += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 9; ++i)
      aliases += std::string(i > 0 ? ", *" : "*") + static_cast<char>(c - 1);
    aliases += "]\n";
  }
  EXPECT_EQ(complaint(aliases, read_nothing).substr(0, 12), "e.yaml:1:4: ");

  std::string deep = "a: ";
  deep += std::string(60, '[') + std::string(60, ']');
  EXPECT_EQ(complaint(deep, read_nothing), "e.yaml:1:53: nested deeper than 50 levels");

  std::string many = "a: [";
  for (int i = 0; i < 100'001; ++i)
    many += "1,";
  EXPECT_NE(complaint(many + "]", read_nothing).find("more than 100000 values"), std::string::npos);

  EXPECT_NE(complaint("a: " + std::string(1 << 20, 'x'), read_nothing).find("too many for a config"),
            std::string::npos);
}

TEST(YamlReader, ListsOfSections) {
  EXPECT_EQ(complaint("", read_volumes), "");
  EXPECT_EQ(complaint("data: {volumes: []}\n", read_volumes), "");
  EXPECT_EQ(complaint("data:\n  volumes:\n  - raw: a\n  - raw: b\n    region: {begin: 3}\n", read_volumes),
            "");
  EXPECT_EQ(complaint("data:\n  volumes:\n    - raw: a\n      wieght: 2\n    - weight: 0\n      region:\n    "
                      "    bgin: 1\n",
                      read_volumes),
            "e.yaml:4:7: data.volumes[0].wieght: unknown key; did you mean 'weight'?\n"
            "e.yaml:5:7: data.volumes[1].raw: is missing, and it has no default\n"
            "e.yaml:5:15: data.volumes[1].weight: is 0 but must be more than 0\n"
            "e.yaml:7:9: data.volumes[1].region.bgin: unknown key; did you mean 'begin'?");
  EXPECT_EQ(complaint("data:\n  volumes:\n    raw: a\n", read_volumes),
            "e.yaml:3:5: data.volumes: a section where a list of sections (- key: value lines) is needed");
  EXPECT_EQ(complaint("data:\n  volumes:\n  - raw: a\n  - b\n", read_volumes),
            "e.yaml:4:5: data.volumes[1]: 'b' where a section (key: value lines) is needed");
}

TEST(YamlReader, DescribesTheKeysThatItReads) {
  ConfigDocument document = ConfigDocument::describing({"train.kind=b"});
  ConfigSection root = document.root();
  EXPECT_EQ(root.require<std::string>({"name", "A name.", {.example = "one"}}), "one") << "the example";
  ConfigSection train = root.section({"train", "A section.", {.page = "docs/a.md"}});
  train.get<double>({"rate", "A rate.", {.example = "0.5", .related = "name train.kind"}}, 0.25, above(0));
  EXPECT_EQ(train.choice({"kind", "A kind."}, "a", {"a", "b"}), "b");
  train.optional<std::vector<std::int64_t>>({"steps", "Steps.", {.fallback = "all"}},
                                            between(0, 9).of_count(2));
  train.get_or_word<std::int64_t>({"tile", "A tile."}, "auto", {"auto"}, at_least(1));
  for (ConfigSection& item : root.sections({"list", "A list."}))
    item.get<bool>({"flag", "A flag."}, false);
  train.get<double>({"rate", "Read again."}, 1);
  const std::vector<KeyDescription>& keys = document.descriptions();
  std::string text;
  for (const KeyDescription& one : keys) {
    text += one.name + "|" + one.type + "|" + one.range + "|" + one.fallback + "|" + one.example +
            (one.required ? "|required\n" : "\n");
  }
  EXPECT_EQ(text,
            "name|text|||one|required\n"
            "train|a section|||\n"
            "train.rate|a number|more than 0|0.25|0.5\n"
            "train.kind|one of a, b||a|a\n"
            "train.steps|a list of 2 whole numbers|each 0 to 9||\n"
            "train.tile|auto, or a whole number|at least 1|auto|auto\n"
            "list|a list of sections|||\n"
            "list.flag|true or false||false|false\n");
  EXPECT_EQ(keys.at(1).page, "docs/a.md");
  EXPECT_EQ(keys.at(2).related, (std::vector<std::string>{"name", "train.kind"}));
  EXPECT_EQ(keys.at(4).fallback_text, "all");
}

}  // namespace
}  // namespace tessera
