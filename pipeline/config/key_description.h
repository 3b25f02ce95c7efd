#pragma once

#include <string>
#include <vector>

namespace tessera {

/// The declaration of a key: its name and its explanation. `tessera help KEY` and configs/all_keys.yaml show
/// the explanation; type, range and default come from the call that reads the key.
struct Key {
  struct Notes {
    std::string example = {};   ///< a value in YAML; empty: the default
    std::string fallback = {};  ///< the default in plain text, where it is computed
    std::string form = {};      ///< what a value looks like, where the type does not say it
    std::string related = {};   ///< full names of other keys, separated by spaces
    std::string page = {};      ///< of a section: its page of the documentation
  };
  std::string name;
  std::string text;  ///< one to three sentences
  Notes notes = {};
};

/// What is known of a key without a file.
struct KeyDescription {
  enum class Kind { value, section, list };
  Kind kind = Kind::value;
  std::string
      name;  ///< in full: "train.momentum"; keys of a list's sections without the index: "data.volumes.raw"
  std::string text;
  std::string type;           ///< "a whole number", "one of sgd, adam, adamw"
  std::string range;          ///< "at least 1"; "": none
  std::string fallback;       ///< the default in YAML; "": the key has no default of its own
  std::string fallback_text;  ///< the default in plain text, where it is computed; may be empty
  std::string example;        ///< a value in YAML, for the keys of Kind::value
  std::vector<std::string> related;
  std::string page;       ///< of a section: its page of the documentation
  bool required = false;  ///< by the verbs that the keys were read for
  // Of known_keys():
  std::vector<std::string> required_by;  ///< names of verbs
  std::string preset_fallback;           ///< the default with model.preset: keras_same, where it differs

  /// "momentum" of "train.momentum".
  std::string last_name() const { return name.substr(name.rfind('.') + 1); }
  /// "train" of "train.momentum"; "" of a key of the whole file.
  std::string section() const {
    const std::size_t dot = name.rfind('.');
    return dot == std::string::npos ? "" : name.substr(0, dot);
  }
};

}  // namespace tessera
