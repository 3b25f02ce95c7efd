#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "io/base/enum_names.h"
#include "io/volume/label_id.h"
#include "pipeline/config/key_description.h"
#include "pipeline/config/yaml_tree.h"

namespace tessera {

struct ConfigState;  ///< shared by a document and its sections

/// The types of a key: true or false, a whole number in decimal digits, a finite number, the id of a label,
/// text, or a list.
template <class T>
concept ConfigNumber = std::same_as<T, std::int64_t> || std::same_as<T, double>;
template <class T>
concept ConfigScalar =
    ConfigNumber<T> || std::same_as<T, bool> || std::same_as<T, LabelId> || std::same_as<T, std::string>;
template <class T>
concept ConfigValue = ConfigScalar<T> || std::same_as<T, std::vector<std::int64_t>> ||
    std::same_as<T, std::vector<double>> || std::same_as<T, std::vector<std::string>>;

/// The limits of a number, or of each number of a list, and the length of a list.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false, max_excluded = false;
  std::size_t count = 0;  ///< elements of a list; 0: any number

  Range of_count(std::size_t elements) const;
};
Range at_least(double min);
Range above(double min);
Range between(double min, double max);  ///< both included
Range list_of(std::size_t count);

/// A section of an experiment file. Reading a key consumes it. A wrong value is noted in the document, and
/// the fallback is returned (or zero, false or ""), so that `ConfigDocument::finish` reports all problems
/// together. A section that the file lacks is empty. Must not outlive its document.
class ConfigSection {
 public:
  /// The key's value, or `fallback` where the file has none.
  template <ConfigValue T>
  T get(const Key& key, const T& fallback, const Range& range = {});
  /// The key's value. None where it is wrong or missing; a missing key is a problem of the section.
  template <ConfigValue T>
  std::optional<T> require(const Key& key, const Range& range = {});
  /// The key's value; none where the file lacks the key.
  template <ConfigValue T>
  std::optional<T> optional(const Key& key, const Range& range = {});
  /// One of `names`, which include the fallback.
  std::string choice(const Key& key, const std::string& fallback, const std::vector<std::string>& names);
  /// One of an enum's values, by its name. `allowed` has the fallback.
  template <NamedEnum E>
  E choice(const Key& key, E fallback, const std::vector<E>& allowed = values_of<E>()) {
    return *value_named<E>(choice(key, tessera::name_of(fallback), names_of(allowed)));
  }
  /// One of an enum's values, by its name; none where the file lacks the key.
  template <NamedEnum E>
  std::optional<E> optional_choice(const Key& key) {
    const std::optional<std::string> name = optional_choice(key, names_of(values_of<E>()));
    return name ? value_named<E>(*name) : std::nullopt;
  }
  std::optional<std::string> optional_choice(const Key& key, const std::vector<std::string>& names);
  /// `auto` (none), or one of `allowed`, by its name.
  template <NamedEnum E>
  std::optional<E> choice_or_auto(const Key& key, const std::vector<E>& allowed = values_of<E>()) {
    std::vector<std::string> names = names_of(allowed);
    names.insert(names.begin(), "auto");
    return value_named<E>(choice(key, "auto", names));
  }
  /// One of `names`, or a number: `tile: auto`, `tile: 572`.
  template <ConfigNumber T>
  std::variant<std::string, T> get_or_word(const Key& key, const std::variant<std::string, T>& fallback,
                                           const std::vector<std::string>& names, const Range& range = {});

  /// The section of a key; an empty one where the file lacks it.
  ConfigSection section(const Key& key);
  /// The sections of a list, `- key: value` each; none where the file lacks the key.
  std::vector<ConfigSection> sections(const Key& key);
  /// Takes a section that was read out of the resolved experiment.
  void leave_out(const std::string& key);
  /// Whether the file (or a --set) has the key; does not consume it.
  bool has(const std::string& key) const;
  /// Notes a problem at the place of `key`, or of the section when the file lacks the key.
  void problem(const std::string& key, const std::string& text);
  /// "train", "data.volumes[2]", or "" for the whole file.
  const std::string& path() const { return path_; }

 private:
  friend class ConfigDocument;
  ConfigSection(ConfigState& document, const YamlNode* node, const YamlPlace& place, std::string path);

  const YamlNode* find(const std::string& key) const;
  const YamlNode* consume(const std::string& key);
  template <class T>
  std::optional<T> convert(const YamlNode& node, const std::string& key, const Range& range);
  template <class T>
  std::optional<T> reject(const YamlNode& node, const std::string& key, const std::string& text);
  std::string name_of(const std::string& key) const;
  void record(const std::string& key, const std::string& yaml);
  void describe(const Key& key, KeyDescription::Kind kind, const std::string& type, const std::string& range,
                const std::string& fallback, bool required = false);
  /// The text of a choice where the file has the key and the text is one of `names`.
  std::optional<std::string> chosen(const Key& key, const std::vector<std::string>& names,
                                    const std::string& fallback);

  ConfigState* document_;
  const YamlNode* node_;  ///< a map, or null when the file lacks the section
  YamlPlace place_;
  std::string path_;
};

/// An experiment file in YAML and the `--set key.path=value` that override it; the last one of a key wins. A
/// section of a list is named `key[index]`, counted from 0. Read the document through `root()`, then call
/// `finish()`.
class ConfigDocument {
 public:
  /// `file` names the text in messages. Values of `overrides` are YAML scalars or flow lists.
  /// Errors: UsageError with the place for text that is not YAML, is not a map, or is rejected by
  /// `parse_yaml` (size, depth, anchors, aliases, tags, several documents).
  ConfigDocument(const std::string& text, const std::string& file,
                 const std::vector<std::string>& overrides = {});
  /// A document without text, whose keys are described as they are read: required ones have their example,
  /// and every list of sections has one empty section. `overrides` as above. Problems are not reported.
  static ConfigDocument describing(const std::vector<std::string>& overrides = {});
  ConfigDocument(ConfigDocument&&) noexcept;
  ConfigDocument& operator=(ConfigDocument&&) noexcept;
  ~ConfigDocument();

  ConfigSection root();

  /// Notes every key that was not read. When there are problems, throws a UsageError with one line for each,
  /// ordered by place: `file:line:column: train.iteratons: unknown key; did you mean 'iterations'?`. Problems
  /// of a --set come last and begin with it.
  void finish();

  /// Every key read so far with its value, fallbacks included, in the order of reading. Parses to the same
  /// values.
  std::string resolved_yaml() const;

  /// Of a describing document: the keys read so far, in the order of reading, each once.
  const std::vector<KeyDescription>& descriptions() const;

 private:
  std::unique_ptr<ConfigState> impl_;
};

}  // namespace tessera
