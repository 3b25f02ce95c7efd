// Names of datasets, wildcards, ids of processes and labels.

#include <string>

#include "io/base/process_id.h"
#include "io/base/utf8_text.h"
#include "io/base/wildcard_pattern.h"
#include "io/images/section_files.h"
#include "io/stores/dataset_wildcards.h"
#include "io/volume/label_id.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::string text(reinterpret_cast<const char*>(data), size);
  expect_message([&] { (void)wildcards_of(parse_dataset_name(text)); });
  expect_message([&] {
    const auto middle = text.find('\n');
    const std::string first = text.substr(0, middle);
    const std::string second = middle == std::string::npos ? text : text.substr(middle + 1);
    const WildcardPattern pattern(first);
    const auto texts = second.find('/') == std::string::npos ? pattern.match(second) : std::nullopt;
    if (texts && pattern.filled(*texts) != second) std::abort();
    if (natural_less(first, second) && natural_less(second, first)) std::abort();
  });
  (void)parse_label_id(text);
  if (const auto process = parse_process_id(text); process && parse_process_id(text_of(*process)) != process)
    std::abort();
  if (bytes_of_utf8_text(utf8_text(text)) != text) std::abort();
  return 0;
}
