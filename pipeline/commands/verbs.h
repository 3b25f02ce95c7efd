#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/commands/commands.h"

namespace tessera {

/// A verb of the command line, with all that help, completion and man pages say of it.
struct Verb {
  struct Example {
    const char* command;  ///< a whole command line
    const char* effect;   ///< what it does, in one sentence
  };
  const char* name;
  const char* effect;  ///< what the verb does, in one sentence
  const char* usage;
  std::array<Example, 2> examples;
  const char* page;                     ///< of the documentation
  std::vector<std::string> positional;  ///< options that are given by their place
  OptionTable (*options)();
  int (*run)(const OptionValues& values, const Communicator& world);
};

/// Every verb, in the order of the help.
const std::vector<Verb>& verbs();
/// The verb of a name; null when there is none.
const Verb* find_verb(const std::string& name);
/// The verb that a wrong one probably means, by its letters or as another usual name, such as "predict".
std::optional<std::string> meant_verb(const std::string& word);
/// The usage line of a verb that exists.
std::string usage_of(const std::string& verb);

/// The general help: verbs and exit codes.
std::string general_help();
/// The help of one verb.
std::string verb_help(const Verb& verb);

/// Collective. Parses the arguments after the verb and runs it, or prints its help for --help. Returns the
/// exit code. Errors: UsageError for wrong arguments; those of the verb.
int run_verb(const Verb& verb, const std::vector<std::string>& arguments, const Communicator& world);

}  // namespace tessera
