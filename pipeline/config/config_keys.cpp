#include "pipeline/config/config_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/config/yaml_tree.h"

namespace tessera {
namespace {

void add_keys(const YamlNode& node, const std::string& path, std::vector<ConfigKey>& keys) {
  if (node.kind == YamlNode::Kind::map) {
    for (const YamlNode& child : node.children)
      add_keys(child, path.empty() ? child.key : fmt::format("{}.{}", path, child.key), keys);
    return;
  }
  std::string value = node.text;
  const bool of_sections = std::any_of(node.children.begin(), node.children.end(), [](const YamlNode& child) {
    return child.kind == YamlNode::Kind::map;
  });
  if (node.kind == YamlNode::Kind::list && of_sections) {
    for (std::size_t i = 0; i < node.children.size(); ++i)
      add_keys(node.children[i], fmt::format("{}[{}]", path, i), keys);
    return;
  }
  if (node.kind == YamlNode::Kind::list) {
    std::vector<std::string> items;
    for (const YamlNode& child : node.children)
      items.push_back(child.text);
    value = fmt::format("[{}]", fmt::join(items, ", "));
  }
  keys.push_back({path, value});
}

}  // namespace

std::vector<ConfigKey> config_keys(const std::string& yaml, const std::string& file) {
  std::vector<YamlProblem> problems;
  std::vector<ConfigKey> keys;
  add_keys(parse_yaml({yaml, file, 0}, problems), "", keys);
  return keys;
}

const ConfigKey* find_key(const std::vector<ConfigKey>& keys, const std::string& key) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& one) { return one.key == key; });
  return found == keys.end() ? nullptr : &*found;
}

}  // namespace tessera
