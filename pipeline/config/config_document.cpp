#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "io/base/error.h"
#include "pipeline/config/config_state.h"
#include "pipeline/config/yaml_reader.h"
#include "pipeline/config/yaml_scalar.h"

namespace tessera {
namespace {

using Kind = YamlNode::Kind;

/// "train" of "train.iterations".
std::pair<std::string, std::string> split_first(const std::string& path) {
  const std::size_t dot = path.find('.');
  return dot == std::string::npos ? std::pair{path, std::string()}
                                  : std::pair{path.substr(0, dot), path.substr(dot + 1)};
}

/// The item of a map's list that a key such as "volumes[1]" names; null when it does not exist.
YamlNode* find_item(YamlNode& map, const std::string& key) {
  const std::size_t bracket = key.find('[');
  if (bracket == std::string::npos || key.back() != ']') return nullptr;
  const auto index = parse_integer(key.substr(bracket + 1, key.size() - bracket - 2));
  YamlNode* list = map.find(key.substr(0, bracket));
  if (!index || *index < 0 || list == nullptr || list->kind != Kind::list ||
      static_cast<std::size_t>(*index) >= list->children.size()) {
    return nullptr;
  }
  return &list->children[static_cast<std::size_t>(*index)];
}

/// Puts one `key.path=value` into the tree.
void apply_override(ConfigState& document, const YamlSource& source) {
  const YamlPlace place{source.override_number, 1, 1};
  const std::size_t equals = source.text.find('=');
  const std::string path = source.text.substr(0, equals);
  if (equals == std::string::npos || path.empty() || path.front() == '.' || path.back() == '.' ||
      path.find("..") != std::string::npos || path.find_first_of(" \t\n") != std::string::npos) {
    document.problems.push_back({place, "write KEY=VALUE, such as train.iterations=20"});
    return;
  }
  YamlSource value_source = source;
  value_source.text = source.text.substr(equals + 1);
  YamlNode value = parse_yaml(value_source, document.problems);
  if (value.kind == Kind::map) {
    document.add_problem(place, path, "a whole section cannot be set; set its keys one by one");
    return;
  }
  YamlNode* at = &document.root;
  std::string walked;
  for (auto [key, rest] = split_first(path); !key.empty(); std::tie(key, rest) = split_first(rest)) {
    if (at->kind == Kind::null) at->kind = Kind::map;
    if (at->kind != Kind::map) {
      document.add_problem(place, path, fmt::format("{} is a value, not a section", walked));
      return;
    }
    const bool names_item = key.find('[') != std::string::npos;
    YamlNode* child = names_item ? find_item(*at, key) : at->find(key);
    if (names_item && child == nullptr) {
      document.add_problem(place, path,
                           fmt::format("the file's {} is not a list with this item; items count from 0",
                                       join(walked, key.substr(0, key.find('[')))));
      return;
    }
    if (child == nullptr) {
      YamlNode created;
      created.key = key;
      created.place = created.key_place = place;
      at->children.push_back(std::move(created));
      child = &at->children.back();
    }
    walked = join(walked, key);
    at = child;
  }
  if (at->kind == Kind::map) {
    document.add_problem(place, path, "is a section; set its keys one by one");
    return;
  }
  value.key = at->key;
  value.place = value.key_place = place;
  *at = std::move(value);
}

/// Other names of sections.
constexpr std::array kSectionNames{std::pair{"training", "train"},      std::pair{"inference", "infer"},
                                   std::pair{"predict", "infer"},       std::pair{"prediction", "infer"},
                                   std::pair{"evaluation", "evaluate"}, std::pair{"network", "model"},
                                   std::pair{"cluster", "slurm"},       std::pair{"dataset", "data"}};

/// "; did you mean '...'?" for an unknown key at `path`: a key of the same section; else one of the same name
/// in another section; else "".
std::string suggestion_for(const ConfigState& document, const YamlNode& key, const std::string& path) {
  const std::vector<std::string> here = document.keys_of(path);
  if (path.empty()) {
    const auto other =
        std::ranges::find_if(kSectionNames, [&](const auto& one) { return key.key == one.first; });
    if (other != kSectionNames.end() && key.kind == Kind::map)
      return fmt::format("; did you mean '{}'?", other->second);
  }
  std::string near = suggestion(key.key, here);
  std::vector<std::string> same;
  for (const auto& [section, lines] : document.lines) {
    const bool is_item = section.find('[') != std::string::npos;
    if (!is_item && section != path && std::ranges::count(lines, key.key, &ConfigState::Line::key) != 0)
      same.push_back(join(section, key.key));
  }
  if (same.empty()) return near;
  if (same.size() > 3) same.resize(3);
  return fmt::format("; did you mean '{}'?", fmt::join(same, "' or '"));
}

/// Notes the keys of `node` that nobody read.
void note_unread(ConfigState& document, const YamlNode& node, const std::string& path) {
  const std::vector<std::string> read = document.keys_of(path);
  for (const YamlNode& child : node.children) {
    const std::string name = join(path, child.key);
    if (std::find(read.begin(), read.end(), child.key) == read.end()) {
      document.add_problem(child.key_place, name, "unknown key" + suggestion_for(document, child, path));
    } else if (child.kind == Kind::map && document.lines.contains(name)) {
      note_unread(document, child, name);
    }
    for (std::size_t i = 0; i < child.children.size() && child.kind == Kind::list; ++i) {
      if (document.lines.contains(item_name(name, i)))
        note_unread(document, child.children[i], item_name(name, i));
    }
  }
}

void emit(const ConfigState& document, const std::string& path, const std::string& indent, std::string& out) {
  using LineKind = ConfigState::Line::Kind;
  const auto found = document.lines.find(path);
  if (found == document.lines.end()) return;
  for (const ConfigState::Line& line : found->second) {
    if (line.kind == LineKind::value) out += fmt::format("{}{}: {}\n", indent, to_yaml(line.key), line.yaml);
    if (line.kind == LineKind::list)
      out += fmt::format("{}{}:{}\n", indent, to_yaml(line.key), line.items == 0 ? " []" : "");
    for (std::size_t i = 0; i < line.items; ++i) {
      std::string item;
      emit(document, item_name(join(path, line.key), i), indent + "  ", item);
      if (item.empty()) item = indent + "  {}\n";
      item[indent.size()] = '-';
      out += item;
    }
    if (line.kind != LineKind::section) continue;
    std::string beneath;
    emit(document, join(path, line.key), indent + "  ", beneath);
    out += fmt::format("{}{}:{}\n{}", indent, to_yaml(line.key), beneath.empty() ? " {}" : "", beneath);
  }
}

}  // namespace

ConfigDocument::ConfigDocument(const std::string& text, const std::string& file,
                               const std::vector<std::string>& overrides)
    : impl_(std::make_unique<ConfigState>()) {
  impl_->sources.push_back({text, file, 0});
  for (const std::string& one : overrides) {
    impl_->sources.push_back({one, "--set " + one, static_cast<int>(impl_->sources.size())});
  }
  impl_->root = parse_yaml(impl_->sources[0], impl_->problems);
  if (impl_->root.kind != Kind::map && impl_->root.kind != Kind::null) {
    throw UsageError(fmt::format("{}: {} where a section (key: value lines) is needed",
                                 place_text(impl_->sources[0], impl_->root.place),
                                 describe_node(impl_->root)));
  }
  for (std::size_t i = 1; i < impl_->sources.size(); ++i)
    apply_override(*impl_, impl_->sources[i]);
}

ConfigDocument ConfigDocument::describing(const std::vector<std::string>& overrides) {
  ConfigDocument document("", "", overrides);
  document.impl_->describing = true;
  return document;
}

ConfigDocument::ConfigDocument(ConfigDocument&&) noexcept = default;
ConfigDocument& ConfigDocument::operator=(ConfigDocument&&) noexcept = default;
ConfigDocument::~ConfigDocument() = default;

ConfigSection ConfigDocument::root() {
  return {*impl_, impl_->root.kind == Kind::map ? &impl_->root : nullptr, YamlPlace{}, ""};
}

void ConfigDocument::finish() {
  note_unread(*impl_, impl_->root, "");
  if (impl_->problems.empty()) return;
  std::stable_sort(impl_->problems.begin(), impl_->problems.end(),
                   [](const YamlProblem& a, const YamlProblem& b) { return a.place < b.place; });
  std::vector<std::string> lines;
  for (const YamlProblem& one : impl_->problems) {
    const YamlSource& source = impl_->sources[static_cast<std::size_t>(one.place.override_number)];
    lines.push_back(fmt::format("{}: {}", place_text(source, one.place), one.text));
  }
  throw UsageError(fmt::format("{}", fmt::join(lines, "\n")));
}

std::string ConfigDocument::resolved_yaml() const {
  std::string text;
  emit(*impl_, "", "", text);
  return text.empty() ? "{}\n" : text;
}

const std::vector<KeyDescription>& ConfigDocument::descriptions() const {
  return impl_->descriptions;
}

}  // namespace tessera
