#include "pipeline/config/key_help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/config/experiment.h"
#include "pipeline/run/wrapped_text.h"

namespace tessera {
namespace {

using KeyKind = KeyDescription::Kind;
using Keys = std::vector<KeyDescription>;

constexpr std::size_t kWidth = 100;

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

/// Whether `name` is in the section, perhaps in a section of it.
bool is_within(const std::string& name, const std::string& section) {
  return section.empty() || name.starts_with(section + ".");
}

/// The list that the key's section, or one around it, is an item of; null without one.
const KeyDescription* list_of_key(const KeyDescription& key, const Keys& keys) {
  for (const KeyDescription& one : keys) {
    if (one.kind == KeyKind::list && is_within(key.name, one.name)) return &one;
  }
  return nullptr;
}

/// "data.raw" of "data.volumes.raw": the keys around a list are the defaults of its items, where both have
/// them.
void add_defaults_of_items(Keys& keys) {
  for (KeyDescription& key : keys) {
    const KeyDescription* list = list_of_key(key, keys);
    if (key.kind != KeyKind::value || list == nullptr) continue;
    const std::string outer = list->section() + key.name.substr(list->name.size());
    if (find_key(keys, outer) == nullptr) continue;
    key.fallback.clear();
    key.fallback_text = outer;
  }
}

/// The key in an outer section that has the same name and explanation; null without one.
const KeyDescription* explained_before(const KeyDescription& key, const Keys& keys) {
  for (const KeyDescription& one : keys) {
    if (&one == &key) return nullptr;
    if (one.kind == key.kind && one.text == key.text && one.last_name() == key.last_name()) return &one;
  }
  return nullptr;
}

/// A value in YAML within `{key: value}` lines.
std::string flow_example(const KeyDescription& key, const Keys& keys) {
  std::string line = key.example;
  for (std::string name = key.name; !name.empty();) {
    const std::size_t dot = name.rfind('.');
    const std::string last = name.substr(dot == std::string::npos ? 0 : dot + 1);
    name = dot == std::string::npos ? "" : name.substr(0, dot);
    line = fmt::format("{}: {}", last, line);
    if (name.empty()) break;
    line = "{" + line + "}";
    if (const KeyDescription* outer = find_key(keys, name); outer != nullptr && outer->kind == KeyKind::list)
      line = "[" + line + "]";
  }
  return line;
}

/// `--set key=value`, quoted for a shell where that is needed.
std::string set_example(const KeyDescription& key, const Keys& keys) {
  std::string name = key.name;
  if (const KeyDescription* list = list_of_key(key, keys))
    name = list->name + "[0]" + key.name.substr(list->name.size());
  const std::string setting = name + "=" + key.example;
  const bool plain = setting.find_first_of(" []*?\"'<>|&;$(){}") == std::string::npos;
  return plain ? "--set " + setting : fmt::format("--set '{}'", setting);
}

/// "default 4000", "required by train; else data.raw".
std::string row(const std::string& label, const std::string& text) {
  const std::vector<std::string> lines = wrapped_lines(text, kWidth - 12, kWidth - 12);
  std::string result;
  for (const std::string& line : lines)
    result += fmt::format("  {:<10}{}\n", result.empty() ? label : "", line);
  return result;
}

/// The default in at most 12 characters.
std::string short_default(const KeyDescription& key) {
  constexpr std::size_t kLongest = 12;
  if (key.kind == KeyKind::section) return "(section)";
  if (key.kind == KeyKind::list) return "(list)";
  if (!key.required_by.empty()) return "(required)";
  const std::string text = default_text(key);
  return text.size() <= kLongest ? text : "(computed)";
}

std::string key_rows(const std::vector<const KeyDescription*>& keys, const std::string& section) {
  const auto name_in = [&](const KeyDescription& key) {
    return section.empty() ? key.name : key.name.substr(section.size() + 1);
  };
  std::size_t longest = 0;
  for (const KeyDescription* key : keys)
    longest = std::max(longest, name_in(*key).size());
  const std::size_t left = 2 + longest + 2 + 12 + 2;
  std::string text;
  for (const KeyDescription* key : keys) {
    const std::string effect =
        key->text.substr(0, key->text.find(". ")) + (key->text.find(". ") == std::string::npos ? "" : ".");
    bool first = true;
    for (const std::string& line : wrapped_lines(effect, kWidth - left, kWidth - left)) {
      text += first ? fmt::format("  {:<{}}  {:<12}  {}\n", name_in(*key), longest, short_default(*key), line)
                    : std::string(left, ' ') + line + "\n";
      first = false;
    }
  }
  return text;
}

/// Writes all_keys.yaml.
class KeyFile {
 public:
  explicit KeyFile(const Keys& keys) : keys_(keys) {}

  std::string text() {
    text_ =
        "# Every key of an experiment file, explained. Written by `tessera help --all-keys`; do not edit.\n"
        "# The values are the defaults. Where a verb requires a key, its value is an example. A key that is "
        "commented out\n"
        "# has no default, or one that follows from other keys; its value is an example.\n"
        "# The command line overrides any key: --set train.iterations=20. Unknown keys are errors.\n"
        "# Paths are relative to the folder that tessera is started in. Axes are (z, y, x).\n\n";
    for (const KeyDescription& key : keys_) {
      if (key.section().empty()) add(key, "", false, "");
    }
    return text_;
  }

 private:
  /// Whether the file sets the key: a verb requires it, or its default does not follow from other keys.
  static bool has_value(const KeyDescription& key) {
    const bool is_constant =
        !key.fallback.empty() && key.fallback_text.empty() && key.preset_fallback.empty();
    return key.kind == KeyKind::value && (!key.required_by.empty() || is_constant);
  }

  bool is_live(const KeyDescription& key) const {
    if (key.kind == KeyKind::value) return has_value(key);
    return key.kind == KeyKind::section && std::ranges::any_of(keys_, [&](const KeyDescription& one) {
             return is_within(one.name, key.name) && has_value(one) && list_of_key(one, keys_) == nullptr;
           });
  }

  std::string comment_of(const KeyDescription& key) const {
    const KeyDescription* before = explained_before(key, keys_);
    std::string comment = before != nullptr ? fmt::format("As {}.", before->name) : key.text;
    const auto add_sentence = [&](const std::string& sentence) {
      if (!sentence.empty()) comment += fmt::format(" {}.", capitalised(sentence));
    };
    if (key.kind != KeyKind::value) {
      if (!key.page.empty()) comment += " " + key.page;
      return comment;
    }
    if (const std::string limits = limits_text(key); before == nullptr && !limits.empty())
      add_sentence("values: " + limits);
    if (!key.required_by.empty()) add_sentence(default_text(key));
    if (key.required_by.empty() && !key.fallback_text.empty()) add_sentence("default: " + key.fallback_text);
    if (!key.preset_fallback.empty()) add_sentence("default: " + default_text(key));
    return comment;
  }

  /// `outer`: what a line begins with; `commented`: a section around the key is commented out, and `outer`
  /// ends the comment sign.
  void add(const KeyDescription& key, const std::string& outer, bool commented, const std::string& dash) {
    if (key.section().empty() && key.kind != KeyKind::value) text_ += "\n";
    const bool live = !commented && is_live(key);
    const std::string begin = outer + (live || commented ? "" : "# ");
    std::string line = begin + dash + key.last_name() + ":";
    if (key.kind == KeyKind::value)
      line += " " + (key.fallback.empty() || !key.required_by.empty() ? key.example : key.fallback);
    add_line(line, comment_of(key));
    if (key.kind == KeyKind::value) return;
    bool first = key.kind == KeyKind::list;
    for (const KeyDescription& one : keys_) {
      if (one.section() != key.name) continue;
      const std::string more =
          std::string(dash.size(), ' ') + "  " + (key.kind == KeyKind::list && !first ? "  " : "");
      add(one, begin + more, commented || !live, first ? "- " : "");
      first = false;
    }
  }

  void add_line(const std::string& line, const std::string& comment) {
    constexpr std::size_t kColumn = 37, kLineWidth = 120;
    const std::size_t left = std::max(kColumn, line.size() + 2);
    bool first = true;
    for (const std::string& part : wrapped_lines(comment, kLineWidth - kColumn - 2, kLineWidth - left - 2)) {
      text_ += first ? fmt::format("{:<{}}# {}\n", line, left, part)
                     : fmt::format("{}# {}\n", std::string(kColumn, ' '), part);
      first = false;
    }
  }

  const Keys& keys_;
  std::string text_;
};

}  // namespace

std::vector<KeyDescription> known_keys() {
  Keys keys = describe_keys({.training = true, .inference = true, .segmentation = true});
  const Keys always = describe_keys({}), for_training = describe_keys({.training = true}),
             for_inference = describe_keys({.inference = true}),
             for_segmentation = describe_keys({.segmentation = true}),
             keras = describe_keys({.training = true, .inference = true, .segmentation = true},
                                   {"model.preset=keras_same"});
  const auto requires_key = [](const Keys& others, const KeyDescription& key) {
    const KeyDescription* found = find_key(others, key.name);
    return found != nullptr && found->required;
  };
  for (KeyDescription& key : keys) {
    if (key.required && requires_key(always, key)) {
      key.required_by = {"every verb"};
    } else if (key.required) {
      if (requires_key(for_training, key)) key.required_by.emplace_back("train");
      if (requires_key(for_inference, key)) key.required_by.emplace_back("infer");
      if (requires_key(for_segmentation, key)) key.required_by.emplace_back("segment");
    }
    const KeyDescription* other = find_key(keras, key.name);
    if (other != nullptr && other->fallback != key.fallback) key.preset_fallback = other->fallback;
  }
  add_defaults_of_items(keys);
  return keys;
}

const KeyDescription* find_key(const std::vector<KeyDescription>& keys, const std::string& name) {
  std::string plain;
  bool inside = false;
  for (const char c : name) {
    if (c == '[') inside = true;
    if (!inside) plain += c;
    if (c == ']') inside = false;
  }
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const KeyDescription& one) { return one.name == plain; });
  return found == keys.end() ? nullptr : &*found;
}

std::string limits_text(const KeyDescription& key) {
  const bool says_little = key.type == "a number" || key.type == "a whole number" || key.type == "text" ||
                           key.type == "true or false";
  if (says_little) return key.range;
  return key.range.empty() ? key.type : fmt::format("{}, {}", key.type, key.range);
}

std::string default_text(const KeyDescription& key) {
  std::string text = !key.fallback_text.empty() ? key.fallback_text : key.fallback;
  if (!key.preset_fallback.empty())
    text += fmt::format("; {} with model.preset: keras_same", key.preset_fallback);
  if (key.required_by.empty()) return text.empty() ? "none" : text;
  const std::string required = fmt::format("required by {}", fmt::join(key.required_by, " and "));
  return text.empty() ? required : fmt::format("{}; else {}", required, text);
}

std::string page_of_key(const KeyDescription& key, const std::vector<KeyDescription>& keys) {
  for (const KeyDescription* one = &key; one != nullptr; one = find_key(keys, one->section())) {
    if (!one->page.empty()) return one->page;
  }
  return {};
}

std::string key_page(const KeyDescription& key, const std::vector<KeyDescription>& keys) {
  std::string text = fmt::format("{}\n\n{}\n", key.name, wrapped(key.text, kWidth, 2));
  text += row("type", key.range.empty() ? key.type : fmt::format("{}, {}", key.type, key.range));
  text += row("default", default_text(key));
  if (!key.example.empty()) {
    text += row("example", flow_example(key, keys));
    text += row("or", set_example(key, keys));
  }
  if (!key.related.empty()) text += row("related", fmt::format("{}", fmt::join(key.related, ", ")));
  if (const std::string page = page_of_key(key, keys); !page.empty()) text += row("more", page);
  return text;
}

std::string section_page(const KeyDescription& section, const std::vector<KeyDescription>& keys) {
  std::vector<const KeyDescription*> inner;
  for (const KeyDescription& key : keys) {
    if (is_within(key.name, section.name)) inner.push_back(&key);
  }
  std::string text = fmt::format("{}:\n\n{}\n{}\n", section.name, wrapped(section.text, kWidth, 2),
                                 key_rows(inner, section.name));
  text += fmt::format("'tessera help {}.{}' explains a key.", section.name,
                      inner.empty() ? "KEY" : inner.front()->last_name());
  if (const std::string page = page_of_key(section, keys); !page.empty())
    text += fmt::format(" More: {}", page);
  return text + "\n";
}

std::string sections_page(const std::vector<KeyDescription>& keys) {
  std::vector<const KeyDescription*> outer;
  for (const KeyDescription& key : keys) {
    if (key.section().empty()) outer.push_back(&key);
  }
  return key_rows(outer, "");
}

std::string all_keys_yaml(const std::vector<KeyDescription>& keys) {
  return KeyFile(keys).text();
}

}  // namespace tessera
