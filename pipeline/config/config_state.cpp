#include "pipeline/config/config_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/nearest_word.h"

namespace tessera {

ConfigState::Line& ConfigState::line(const std::string& section, const std::string& key) {
  std::vector<Line>& all = lines[section];
  const auto known = std::find_if(all.begin(), all.end(), [&](const Line& one) { return one.key == key; });
  if (known != all.end()) return *known;
  all.push_back({Line::Kind::absent, key, {}, 0});
  return all.back();
}

std::vector<std::string> ConfigState::keys_of(const std::string& section) const {
  std::vector<std::string> keys;
  if (const auto found = lines.find(section); found != lines.end()) {
    for (const Line& one : found->second)
      keys.push_back(one.key);
  }
  return keys;
}

void ConfigState::add_problem(const YamlPlace& place, const std::string& name, const std::string& text) {
  problems.push_back({place, fmt::format("{}: {}", name, text)});
}

std::string join(const std::string& section, const std::string& key) {
  return section.empty() ? key : section + "." + key;
}

std::string item_name(const std::string& list, std::size_t index) {
  return fmt::format("{}[{}]", list, index);
}

std::string suggestion(const std::string& word, const std::vector<std::string>& candidates) {
  const auto near = nearest_word(word, candidates);
  return near ? fmt::format("; did you mean '{}'?", *near) : "";
}

std::string describe_node(const YamlNode& node) {
  using Kind = YamlNode::Kind;
  switch (node.kind) {
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a section";
    case Kind::null:
      return "an empty value";
    case Kind::scalar:
      break;
  }
  return node.quoted ? fmt::format("the text \"{}\"", node.text) : fmt::format("'{}'", node.text);
}

}  // namespace tessera
