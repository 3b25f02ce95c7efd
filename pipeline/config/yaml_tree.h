#pragma once

#include <string>
#include <vector>

namespace tessera {

/// A place in the file, or in the --set of that number (from 1).
struct YamlPlace {
  int override_number = 0;  ///< 0: in the file
  int line = 1, column = 1;

  friend auto operator<=>(const YamlPlace&, const YamlPlace&) = default;
};

/// A node of a parsed file, with the place it came from.
struct YamlNode {
  enum class Kind { null, scalar, list, map };

  Kind kind = Kind::null;
  YamlPlace place;
  std::string text;     ///< of a scalar, without quotes
  bool quoted = false;  ///< the scalar is quoted (or a block scalar): text, never a number
  std::string key;      ///< for the children of a map
  YamlPlace key_place;
  std::vector<YamlNode> children;  ///< of a list or a map, in order

  /// The value of `name` in a map; null without one.
  YamlNode* find(const std::string& name);
  const YamlNode* find(const std::string& name) const;
};

/// A message about a place.
struct YamlProblem {
  YamlPlace place;
  std::string text;
};

/// A text and its name in messages: the name of the file, or the whole `--set key=value`.
struct YamlSource {
  std::string text;
  std::string label;
  int override_number = 0;
};

/// "config.yaml:3:5" or "--set key=value".
std::string place_text(const YamlSource& source, const YamlPlace& place);

/// Parses one document from the parser's events, so that limits are checked before the tree grows. A key that
/// occurs twice in a map is added to `problems`; the first one counts.
/// Errors: UsageError with the place for a syntax error, more than 1 MiB or 100,000 nodes, nesting deeper
/// than 50, an anchor, an alias, a tag, a second document, or a key that is not a word.
YamlNode parse_yaml(const YamlSource& source, std::vector<YamlProblem>& problems);

}  // namespace tessera
