// Names of datasets and wildcards.

#include <string>

#include "io/base/wildcard_pattern.h"
#include "io/volume/dataset_name.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::string text(reinterpret_cast<const char*>(data), size);
  expect_message([&] { (void)parse_dataset_name(text); });
  expect_message([&] {
    const auto middle = text.find('\n');
    const WildcardPattern pattern(text.substr(0, middle));
    (void)pattern.match(middle == std::string::npos ? text : text.substr(middle + 1));
  });
  return 0;
}
