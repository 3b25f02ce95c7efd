#pragma once

#include <map>
#include <string>
#include <vector>

#include "pipeline/config/key_description.h"
#include "pipeline/config/yaml_tree.h"

namespace tessera {

/// The state shared by a ConfigDocument and its sections.
struct ConfigState {
  /// The reading of one key: a value as YAML, a section, a list of sections, or nothing (an optional key that
  /// the file lacks).
  struct Line {
    enum class Kind { value, section, list, absent } kind = Kind::absent;
    std::string key, yaml;
    std::size_t items = 0;  ///< of a list
  };

  std::vector<YamlSource> sources;  ///< the file, then the overrides
  YamlNode root;
  std::vector<YamlProblem> problems;
  std::map<std::string, std::vector<Line>> lines;  ///< by section, in the order of reading
  bool describing = false;                         ///< the keys are read only to describe them
  std::vector<KeyDescription> descriptions;

  /// The line of `key`, created at its first reading.
  Line& line(const std::string& section, const std::string& key);
  std::vector<std::string> keys_of(const std::string& section) const;
  /// Notes "name: text" at `place`.
  void add_problem(const YamlPlace& place, const std::string& name, const std::string& text);
};

/// "section.key"; "key" in the root.
std::string join(const std::string& section, const std::string& key);

/// "section[2]", the name of a section in a list.
std::string item_name(const std::string& list, std::size_t index);

/// "; did you mean '...'?" with the nearest candidate, or "".
std::string suggestion(const std::string& word, const std::vector<std::string>& candidates);

/// A value in a message: "a list", "'1e3'".
std::string describe_node(const YamlNode& node);

}  // namespace tessera
