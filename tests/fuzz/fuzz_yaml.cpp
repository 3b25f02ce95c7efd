// Experiment files, read for a training or for an inference: which, the last bit of their length says. What
// is accepted must be accepted again in its resolved form. The report reads any YAML.

#include <string>

#include "pipeline/config/config_keys.h"
#include "pipeline/config/experiment.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const bool training = size % 2 == 0;
  const ConfigNeeds needs{.training = training, .inference = !training};
  std::string resolved;
  expect_message([&] { resolved = parse_experiment(text, "fuzz.yaml", {}, needs).resolved_yaml; });
  if (!resolved.empty()) (void)parse_experiment(resolved, "resolved.yaml", {}, needs);
  expect_message([&] { (void)config_keys(text, "fuzz.yaml"); });
  return 0;
}
