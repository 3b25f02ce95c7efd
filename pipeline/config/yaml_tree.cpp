#include "pipeline/config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_set>
#include <utility>

#include "io/base/error.h"
#include "pipeline/config/yaml_scalar.h"

namespace tessera {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxNodes = 100'000;
constexpr std::size_t kMaxDepth = 50;

/// Builds the tree from the events of the parser.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlSource& source, std::vector<YamlProblem>& problems)
      : source_(source), problems_(problems) {}

  /// Errors: UsageError for an unfit key, which the parser's own errors precede.
  YamlNode take_root() {
    if (!unfit_key_.empty()) throw UsageError(unfit_key_);
    return std::move(root_);
  }

  /// The beginning of the innermost open list or map.
  YamlPlace open_place() const { return open_.empty() ? YamlPlace{} : open_.back().node.place; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) reject(mark, "a second document starts here; a file is one experiment");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(leaf(mark, "", anchor, YamlNode::Kind::null));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    reject(mark, "aliases (*name) are not allowed; write the value out");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    reject(mark, fmt::format("anchors (&{}) are not allowed; write the value out where it is used", name));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = leaf(mark, tag, anchor, YamlNode::Kind::scalar);
    node.text = value;
    node.quoted = tag == "!";
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or map whose end has not been parsed.
  struct Open {
    YamlNode node;
    bool has_key = false;  ///< a map's key is read, its value is not
    std::string key;
    YamlPlace key_place;
    std::unordered_set<std::string> keys;
  };

  YamlPlace place_of(const YAML::Mark& mark) const {
    return {source_.override_number, mark.line + 1, mark.column + 1};
  }

  [[noreturn]] void reject(const YAML::Mark& mark, const std::string& text) const {
    throw UsageError(fmt::format("{}: {}", place_text(source_, place_of(mark)), text));
  }

  /// For an unclosed bracket the parser first reports such keys, then an error, which takes precedence.
  void note_unfit_key(const YamlPlace& place, const std::string& text) {
    if (unfit_key_.empty()) unfit_key_ = fmt::format("{}: {}", place_text(source_, place), text);
  }

  YamlNode leaf(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (anchor != 0) reject(mark, "anchors (&name) are not allowed; write the value out where it is used");
    // The parser itself puts "?" for plain and "!" for quoted scalars.
    if (!tag.empty() && tag != "?" && tag != "!") reject(mark, fmt::format("tags ({}) are not allowed", tag));
    if (++nodes_ > kMaxNodes)
      reject(mark, fmt::format("more than {} values and keys in one file", kMaxNodes));
    YamlNode node;
    node.kind = kind;
    node.place = place_of(mark);
    if (awaits_key() && kind != YamlNode::Kind::scalar) {
      note_unfit_key(node.place, "a key must be a word, not empty, a list or a map");
    }
    return node;
  }

  bool awaits_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().has_key;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (open_.size() >= kMaxDepth) reject(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    Open opened;
    opened.node = leaf(mark, tag, anchor, kind);
    open_.push_back(std::move(opened));
  }

  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (awaits_key()) {
      if (node.kind == YamlNode::Kind::scalar && !node.quoted && !is_plain_text(node.text)) {
        note_unfit_key(node.place,
                       fmt::format("the key '{}' is a number or a truth value, not a word", node.text));
      }
      parent.key = std::move(node.text);
      parent.key_place = node.place;
      parent.has_key = true;
      return;
    }
    if (parent.node.kind == YamlNode::Kind::map) {
      parent.has_key = false;
      if (!parent.keys.insert(parent.key).second) {
        problems_.push_back(
            {parent.key_place, fmt::format("{}: this key stands twice here, first on line {}", parent.key,
                                           parent.node.find(parent.key)->key_place.line)});
        return;
      }
      node.key = std::move(parent.key);
      node.key_place = parent.key_place;
    }
    parent.node.children.push_back(std::move(node));
  }

  const YamlSource& source_;
  std::vector<YamlProblem>& problems_;
  YamlNode root_;
  std::vector<Open> open_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
  std::string unfit_key_;
};

}  // namespace

const YamlNode* YamlNode::find(const std::string& name) const {
  if (kind != Kind::map) return nullptr;
  for (const YamlNode& child : children) {
    if (child.key == name) return &child;
  }
  return nullptr;
}

YamlNode* YamlNode::find(const std::string& name) {
  return const_cast<YamlNode*>(std::as_const(*this).find(name));
}

std::string place_text(const YamlSource& source, const YamlPlace& place) {
  if (place.override_number != 0) return source.label;
  return fmt::format("{}:{}:{}", source.label, place.line, place.column);
}

YamlNode parse_yaml(const YamlSource& source, std::vector<YamlProblem>& problems) {
  if (source.text.size() > kMaxBytes) {
    throw UsageError(
        fmt::format("{}: {} bytes are too many for a config (at most {}); is this the right file?",
                    source.label, source.text.size(), kMaxBytes));
  }
  TreeBuilder builder(source, problems);
  try {
    std::istringstream in(source.text);
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    // At the end of the text the parser has no place; the place of the unclosed bracket is shown instead.
    const YamlPlace place =
        std::max(builder.open_place(), {source.override_number, error.mark.line + 1, error.mark.column + 1});
    throw UsageError(fmt::format(
        "{}: not valid YAML: {} (indent by spaces, not tabs; write 'key: value' with a space after the "
        "colon; close brackets and quotes)",
        place_text(source, place), error.msg));
  }
  return builder.take_root();
}

}  // namespace tessera
