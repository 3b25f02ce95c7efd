// Experiment files. What is accepted must be accepted again in its resolved form. The report reads any YAML.

#include <string>

#include "pipeline/config/config_keys.h"
#include "pipeline/config/experiment.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const bool training : {false, true}) {
    std::string resolved;
    expect_message([&] {
      resolved = parse_experiment(text, "fuzz.yaml", {}, {.training = training, .inference = !training})
                     .resolved_yaml;
    });
    if (!resolved.empty())
      (void)parse_experiment(resolved, "resolved.yaml", {}, {.training = training, .inference = !training});
  }
  expect_message([&] { (void)config_keys(text, "fuzz.yaml"); });
  return 0;
}
