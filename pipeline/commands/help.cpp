#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <iostream>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/nearest_word.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/man_pages.h"
#include "pipeline/commands/shell_completion.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/config/key_help.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

/// The keys whose last name is `word`: "threads" of train.threads and infer.threads.
std::vector<std::string> keys_named(const std::vector<KeyDescription>& keys, const std::string& word) {
  std::vector<std::string> names;
  for (const KeyDescription& key : keys) {
    if (key.last_name() == word) names.push_back(key.name);
  }
  return names;
}

[[noreturn]] void report_unknown(const std::string& topic, const std::vector<KeyDescription>& keys) {
  std::vector<std::string> candidates, last_names;
  for (const Verb& verb : verbs())
    candidates.emplace_back(verb.name);
  for (const KeyDescription& key : keys) {
    candidates.push_back(key.name);
    last_names.push_back(key.last_name());
  }
  std::optional<std::string> near = nearest_word(topic, candidates);
  if (!near) {
    if (const auto last = nearest_word(topic.substr(topic.rfind('.') + 1), last_names))
      near = keys_named(keys, *last).front();
  }
  throw UsageError(
      fmt::format("'{}' is no verb, key or section{}\n'tessera help' lists the verbs and the sections", topic,
                  near ? fmt::format(": did you mean '{}'?", *near) : ""));
}

/// The help of a verb, a key or a section. `train` is both a verb and a section.
std::string topic_help(const std::string& topic, const std::vector<KeyDescription>& keys) {
  const Verb* verb = find_verb(topic);
  const KeyDescription* key = find_key(keys, topic);
  const std::vector<std::string> named = keys_named(keys, topic);
  if (key == nullptr && verb == nullptr && named.size() == 1) key = find_key(keys, named.front());
  if (key == nullptr && verb == nullptr && named.size() > 1)
    return fmt::format("several keys have this name: {}\n", fmt::join(named, ", "));
  if (key == nullptr && verb == nullptr) report_unknown(topic, keys);
  std::string text;
  if (verb != nullptr) text += verb_help(*verb);
  if (verb != nullptr && key != nullptr) text += "\n";
  if (key != nullptr)
    text += key->kind == KeyDescription::Kind::value ? key_page(*key, keys) : section_page(*key, keys);
  return text;
}

std::string completion(const std::string& shell, const std::vector<KeyDescription>& keys) {
  if (shell == "bash") return bash_completion(keys);
  if (shell == "zsh") return zsh_completion(keys);
  throw UsageError(fmt::format("--completion {}: there are bash and zsh", shell));
}

void write_man_pages(const fs::path& folder, const std::vector<KeyDescription>& keys) {
  fs::create_directories(folder);
  for (const auto& [name, page] : man_pages(keys))
    write_text_file(folder / name, page);
  std::cout << fmt::format("manual pages: {}\n", folder.string());
}

}  // namespace

OptionTable help_options() {
  OptionTable options("options");
  options.add_options()                                                                          //
      ("topic", po::value<std::string>(), "a verb, a key such as train.momentum, or a section")  //
      ("all-keys", "print an experiment file with every key, explained")                         //
      ("completion", po::value<std::string>(), "print the completion script of a shell: bash or zsh")(
          "man", po::value<std::string>(), "write the manual pages into this folder");
  return options;
}

int run_help(const OptionValues& values, const Communicator& world) {
  on_root(world, [&] {
    const std::vector<KeyDescription> keys = known_keys();
    if (values.count("all-keys") != 0) {
      std::cout << all_keys_yaml(keys);
    } else if (values.count("completion") != 0) {
      std::cout << completion(values["completion"].as<std::string>(), keys);
    } else if (values.count("man") != 0) {
      write_man_pages(values["man"].as<std::string>(), keys);
    } else if (values.count("topic") != 0) {
      std::cout << topic_help(values["topic"].as<std::string>(), keys);
    } else {
      std::cout << general_help() << "\nkeys and sections of an experiment:\n" << sections_page(keys);
    }
    std::cout << std::flush;
  });
  return kExitDone;
}

}  // namespace tessera
