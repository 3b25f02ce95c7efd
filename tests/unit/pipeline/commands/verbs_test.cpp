#include "pipeline/commands/verbs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "pipeline/commands/man_pages.h"
#include "pipeline/commands/shell_completion.h"
#include "pipeline/config/key_help.h"
#include "pipeline/run/command_line.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

/// The words after "tessera VERB" in a command line; empty when it is not one of the verb.
std::vector<std::string> arguments_of(const std::string& command, const std::string& verb) {
  std::istringstream in(command);
  std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
  const auto program = std::ranges::find(words, "tessera");
  if (program == words.end() || program + 1 == words.end() || program[1] != verb) return {};
  return {program + 2, words.end()};
}

TEST(Verbs, OtherNamesLeadToVerbs) {
  for (const char* word :
       {"predict", "inference", "apply", "score", "eval", "test", "fit", "convert", "start", "new", "plan",
        "validate", "list", "compress", "resume", "trian", "evalute"}) {
    const auto meant = meant_verb(word);
    ASSERT_TRUE(meant.has_value()) << word;
    EXPECT_NE(find_verb(*meant), nullptr) << word << " -> " << *meant;
  }
  EXPECT_EQ(meant_verb("predict"), "infer");
  EXPECT_EQ(meant_verb("xyzzyplugh"), std::nullopt);
}

TEST(Verbs, HaveAnEffectExamplesAndAPage) {
  ASSERT_GE(verbs().size(), 15U);
  std::set<std::string> names;
  for (const Verb& verb : verbs()) {
    EXPECT_TRUE(names.insert(verb.name).second) << verb.name;
    const std::string effect = verb.effect;
    EXPECT_TRUE(effect.size() > 15 && effect.back() == '.' && std::isupper(effect.front()) != 0) << effect;
    EXPECT_EQ(std::string(verb.usage).rfind(std::string("tessera ") + verb.name + " ", 0), 0U) << verb.usage;
    EXPECT_TRUE(std::filesystem::is_regular_file(std::string(TESSERA_SOURCE "/") + verb.page)) << verb.page;
    EXPECT_STRNE(verb.examples[0].command, verb.examples[1].command);
    for (const Verb::Example& example : verb.examples) {
      EXPECT_EQ(example.effect[std::string(example.effect).size() - 1], '.') << example.effect;
      EXPECT_NE(verb_help(verb).find(example.command), std::string::npos);
    }
    EXPECT_NE(verb_help(verb).find(verb.page), std::string::npos);
    EXPECT_NE(general_help().find(effect), std::string::npos);
  }
}

TEST(Verbs, ExamplesAreValidCommandLines) {
  for (const Verb& verb : verbs()) {
    for (const Verb::Example& example : verb.examples) {
      const std::vector<std::string> arguments = arguments_of(example.command, verb.name);
      ASSERT_FALSE(arguments.empty()) << example.command;
      EXPECT_EQ(testing::message_of(
                    [&] { parse_arguments(arguments, verb.usage, verb.options(), verb.positional); }),
                "no error")
          << example.command;
    }
    EXPECT_NE(testing::message_of(
                  [&] { parse_arguments({"--no-such"}, verb.usage, verb.options(), verb.positional); }),
              "no error");
  }
}

TEST(Verbs, UsageNamesOnlyOptionsThatExist) {
  for (const Verb& verb : verbs()) {
    const OptionTable options = verb.options();
    for (const std::string& place : verb.positional)
      EXPECT_NE(options.find_nothrow(place, false), nullptr) << verb.name << " " << place;
    std::string text = verb.usage;
    for (std::size_t at = text.find("--"); at != std::string::npos; at = text.find("--", at + 2)) {
      const std::size_t end = text.find_first_of(" ]|\n", at);
      const std::string name = text.substr(at + 2, end - at - 2);
      EXPECT_NE(options.find_nothrow(name, false), nullptr) << verb.name << " --" << name;
    }
    EXPECT_EQ(options.find_nothrow("help", false), nullptr);
  }
}

TEST(Verbs, AreInCompletionsAndManPages) {
  const std::vector<KeyDescription> keys = known_keys();
  const std::string bash = bash_completion(keys), zsh = zsh_completion(keys);
  const auto pages = man_pages(keys);
  EXPECT_EQ(pages.size(), verbs().size() + 2);
  for (const Verb& verb : verbs()) {
    const std::string page = pages.at(std::string("tessera-") + verb.name + ".1");
    EXPECT_NE(bash.find(std::string("    ") + verb.name + ") echo '"), std::string::npos) << verb.name;
    EXPECT_NE(zsh.find(std::string("    (") + verb.name + ") _arguments"), std::string::npos) << verb.name;
    const OptionTable options = verb.options();
    for (const auto& option : options.options()) {
      const std::string name = option->long_name();
      const bool by_place = std::ranges::find(verb.positional, name) != verb.positional.end();
      if (!by_place) {
        EXPECT_NE(bash.find("--" + name), std::string::npos) << name;
        EXPECT_NE(zsh.find("--" + name + "["), std::string::npos) << name;
      }
      std::string in_roff = "\\-\\-";
      for (const char c : name)
        in_roff += c == '-' ? std::string("\\-") : std::string(1, c);
      EXPECT_NE(page.find(in_roff), std::string::npos) << verb.name << " --" << name;
    }
  }
  EXPECT_NE(pages.at("tessera-experiment.5").find("train.augmentation.low_contrast_section"),
            std::string::npos);
}

}  // namespace
}  // namespace tessera
