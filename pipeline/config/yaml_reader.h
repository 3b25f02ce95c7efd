#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/config/yaml_tree.h"

namespace tessera {

struct ConfigState;  ///< what a document and its sections share

/// What a key may hold: true or false; a whole number in decimal digits; a finite number; text; or a list.
template <class T>
concept ConfigNumber = std::same_as<T, std::int64_t> || std::same_as<T, double>;
template <class T>
concept ConfigScalar = ConfigNumber<T> || std::same_as<T, bool> || std::same_as<T, std::string>;
template <class T>
concept ConfigValue = ConfigScalar<T> || std::same_as<T, std::vector<std::int64_t>> ||
    std::same_as<T, std::vector<double>> || std::same_as<T, std::vector<std::string>>;

/// What a number must keep to, each one of a list too; and how many a list must have.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_excluded = false, max_excluded = false;
  std::size_t count = 0;  ///< elements of a list; 0: any number of them

  Range of_count(std::size_t elements) const;
};
Range at_least(double min);
Range above(double min);
Range between(double min, double max);  ///< both included
Range list_of(std::size_t count);

/// A section of an experiment file. Reading a key consumes it. What is wrong with a value is noted in the
/// document, and reading goes on with the fallback (or with zero, false or "" where there is none), so that
/// all problems come together in `ConfigDocument::finish`. A section that the file lacks reads as empty.
/// Must not outlive its document.
class ConfigSection {
 public:
  /// The key's value, or `fallback` where the file has none.
  template <ConfigValue T>
  T get(const std::string& key, const T& fallback, const Range& range = {});
  /// The key's value; a missing key is a problem of the section.
  template <ConfigValue T>
  T require(const std::string& key, const Range& range = {});
  /// The key's value, if there is one.
  template <ConfigValue T>
  std::optional<T> optional(const std::string& key, const Range& range = {});
  /// One of `words`, which include the fallback.
  std::string choice(const std::string& key, const std::string& fallback,
                     const std::vector<std::string>& words);
  /// One of `words`, or a number: `tile: auto`, `tile: 572`.
  template <ConfigNumber T>
  std::variant<std::string, T> get_or_word(const std::string& key,
                                           const std::variant<std::string, T>& fallback,
                                           const std::vector<std::string>& words, const Range& range = {});

  /// The section beneath.
  ConfigSection section(const std::string& key);
  /// The sections of a list of them, `- key: value` each; none where the file lacks the key.
  std::vector<ConfigSection> sections(const std::string& key);
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
  std::optional<T> refuse(const YamlNode& node, const std::string& key, const std::string& text);
  std::string name_of(const std::string& key) const;
  void record(const std::string& key, const std::string& yaml);

  ConfigState* document_;
  const YamlNode* node_;  ///< a map, or null when the file lacks the section
  YamlPlace place_;
  std::string path_;
};

/// An experiment file in YAML, with the `--set key.path=value` that override it (the last one of a key wins);
/// a section of a list is `key[index]`, counted from 0, as in messages. Read it through `root()`, then call
/// `finish()`.
class ConfigDocument {
 public:
  /// `file` is what messages call the text. Values of `overrides` are YAML scalars or flow lists.
  /// Errors: UsageError with the place for text that is not YAML, is not a map, or is refused
  /// (`parse_yaml`: size, depth, anchors, aliases, tags, several documents).
  ConfigDocument(const std::string& text, const std::string& file,
                 const std::vector<std::string>& overrides = {});
  ConfigDocument(ConfigDocument&&) noexcept;
  ConfigDocument& operator=(ConfigDocument&&) noexcept;
  ~ConfigDocument();

  ConfigSection root();

  /// Notes every key that was not read, then, when there are problems, throws a UsageError with all of
  /// them, one a line, by their place: `file:line:column: train.iteratons: unknown key; did you mean
  /// 'iterations'?`; those of a --set come last and begin with it.
  void finish();

  /// Every key read so far, with the value it has, the fallbacks filled in, in the order of reading.
  /// Parses back to the same values.
  std::string resolved_yaml() const;

 private:
  std::unique_ptr<ConfigState> impl_;
};

}  // namespace tessera
