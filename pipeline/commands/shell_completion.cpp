#include "pipeline/commands/shell_completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/commands/verbs.h"

namespace tessera {
namespace {

/// An option that is not given by its place.
struct Option {
  std::string name, effect;
  bool takes_value = false;
};

std::vector<Option> options_of(const Verb& verb) {
  std::vector<Option> options;
  const OptionTable table = verb.options();
  for (const auto& one : table.options()) {
    const std::string name = one->long_name();
    if (std::ranges::find(verb.positional, name) == verb.positional.end())
      options.push_back({"--" + name, one->description(), one->semantic()->max_tokens() > 0});
  }
  options.push_back({"--help", "show the verb's help", false});
  options.push_back({"--log-level", "what the log shows", true});
  options.push_back({"--progress", "whether progress is a line that is redrawn", true});
  return options;
}

/// Whether the verb's first argument names an experiment.
bool takes_experiment(const Verb& verb) {
  const std::string first = verb.positional.empty() ? "" : verb.positional.front();
  return first == "config" || first == "experiment" || first == "run" || first == "result";
}

std::vector<std::string> names_of(const std::vector<KeyDescription>& keys, bool with_sections) {
  std::vector<std::string> names;
  for (const KeyDescription& key : keys) {
    if (with_sections || key.kind == KeyDescription::Kind::value) names.push_back(key.name);
  }
  return names;
}

std::vector<std::string> names_of_verbs() {
  std::vector<std::string> names;
  for (const Verb& verb : verbs())
    names.emplace_back(verb.name);
  return names;
}

/// Words one below the other, so that lines stay short.
std::string lines_of(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, "\n"));
}

constexpr const char* kBash = R"bash(
_tessera() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$_tessera_verbs --help --version" -- "$cur")
    return
  fi
  case $prev in
    --set)
      compopt -o nospace
      mapfile -t COMPREPLY < <(compgen -S = -W "$_tessera_keys" -- "$cur")
      return
      ;;
    --completion) words='bash zsh' ;;
    --log-level) words='trace debug info warn error off' ;;
    --progress) words='auto always never' ;;
    --stages) words='train infer evaluate report' ;;
    *) words= ;;
  esac
  if [ -n "$words" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  elif [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_tessera_options "$verb")" -- "$cur")
  elif [ "$verb" = help ]; then
    mapfile -t COMPREPLY < <(compgen -W "$_tessera_verbs $_tessera_keys $_tessera_sections" -- "$cur")
  elif [[ " $_tessera_yaml " == *" $verb "* && $prev != --* ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -X '!*.@(yaml|yml)' -- "$cur"; compgen -d -- "$cur")
  else
    compopt -o default
  fi
}
complete -F _tessera tessera
)bash";

/// A text within single quotes, safe inside of zsh's brackets.
std::string zsh_text(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':') safe += '\\';
    safe += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return safe;
}

std::string zsh_values(const std::string& option) {
  if (option == "--set") return ":key=value:_tessera_set";
  if (option == "--completion") return ":shell:(bash zsh)";
  if (option == "--log-level") return ":level:(trace debug info warn error off)";
  if (option == "--progress") return ":when:(auto always never)";
  if (option == "--stages") return ":stages:(train infer evaluate report)";
  return ":value:_files";
}

}  // namespace

std::string bash_completion(const std::vector<KeyDescription>& keys) {
  std::vector<std::string> sections, yaml;
  for (const KeyDescription& key : keys) {
    if (key.kind != KeyDescription::Kind::value) sections.push_back(key.name);
  }
  std::string cases;
  for (const Verb& verb : verbs()) {
    if (takes_experiment(verb)) yaml.emplace_back(verb.name);
    std::vector<std::string> names;
    for (const Option& option : options_of(verb))
      names.push_back(option.name);
    cases += fmt::format("    {}) echo '{}' ;;\n", verb.name, fmt::join(names, " "));
  }
  return fmt::format(
             "# bash completion of tessera. Written by `tessera help --completion bash`.\n"
             "shopt -s extglob\n"
             "_tessera_verbs='{}'\n_tessera_yaml='{}'\n_tessera_sections='{}'\n_tessera_keys='{}'\n\n"
             "_tessera_options() {{\n  case $1 in\n{}  esac\n}}\n",
             fmt::join(names_of_verbs(), " "), fmt::join(yaml, " "), fmt::join(sections, " "),
             lines_of(names_of(keys, false)), cases) +
         kBash;
}

std::string zsh_completion(const std::vector<KeyDescription>& keys) {
  std::string names, cases;
  for (const Verb& verb : verbs()) {
    names += fmt::format("    '{}:{}'\n", verb.name, zsh_text(verb.effect));
    cases += fmt::format("    ({}) _arguments", verb.name);
    for (const Option& option : options_of(verb)) {
      cases += fmt::format(" \\\n      '{}{}[{}]{}'", option.name == "--set" ? "*" : "", option.name,
                           zsh_text(option.effect), option.takes_value ? zsh_values(option.name) : "");
    }
    const char* files = takes_experiment(verb) ? "_files -g \"*.(yaml|yml)\"" : "_files";
    cases +=
        fmt::format(" \\\n      '*: :{}' ;;\n", std::string(verb.name) == "help" ? "_tessera_topic" : files);
  }
  return fmt::format(
      "#compdef tessera\n"
      "# zsh completion of tessera. Written by `tessera help --completion zsh`.\n"
      "_tessera_set() {{\n  local -a keys=(\n{}\n  )\n  compadd -q -S '=' -a keys\n}}\n\n"
      "_tessera_topic() {{\n  local -a topics=(\n{}\n{}\n  )\n  compadd -a topics\n}}\n\n"
      "_tessera() {{\n"
      "  local -a verbs=(\n{}  )\n"
      "  if (( CURRENT == 2 )); then\n    _describe -t verbs verb verbs\n    return\n  fi\n"
      "  local verb=$words[2]\n  shift words\n  (( CURRENT-- ))\n"
      "  case $verb in\n{}  esac\n}}\n\n"
      "_tessera \"$@\"\n",
      lines_of(names_of(keys, false)), lines_of(names_of_verbs()), lines_of(names_of(keys, true)), names,
      cases);
}

}  // namespace tessera
