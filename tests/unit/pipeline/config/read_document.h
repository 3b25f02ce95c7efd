#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/base/error.h"
#include "pipeline/config/yaml_reader.h"

/// Small experiments that the tests of the YAML reader read.
namespace tessera::testing {

using Overrides = std::vector<std::string>;
using Reading = std::function<void(ConfigSection&)>;

/// The message of the UsageError from parsing, reading and finishing; "" without an error.
inline std::string complaint(const std::string& text, const Reading& read, const Overrides& overrides = {}) {
  try {
    ConfigDocument document(text, "e.yaml", overrides);
    ConfigSection root = document.root();
    read(root);
    document.finish();
  } catch (const UsageError& error) {
    return error.what();
  }
  return {};
}

/// A key without an explanation.
inline Key key(const std::string& name) {
  return {name, "A key of this test."};
}

inline void read_nothing(ConfigSection&) {}

inline void read_train(ConfigSection& root) {
  ConfigSection train = root.section(key("train"));
  train.get<std::int64_t>(key("iterations"), 4000, at_least(1));
  train.get<double>(key("rate"), 0.01, above(0));
  train.get<bool>(key("augment"), true);
  train.choice(key("optimizer"), "adam", {"adam", "sgd"});
}

inline void read_volumes(ConfigSection& root) {
  for (ConfigSection& volume : root.section(key("data")).sections(key("volumes"))) {
    volume.require<std::string>(key("raw"));
    volume.get<double>(key("weight"), 1, above(0));
    volume.section(key("region")).get<std::int64_t>(key("begin"), 0);
  }
}

}  // namespace tessera::testing
