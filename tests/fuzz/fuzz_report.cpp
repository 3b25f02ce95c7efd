// The JSON files of a run, and the report of them. A zero byte separates the files.

#include <string>

#include "io/base/json_text.h"
#include "pipeline/report/compare_page.h"
#include "pipeline/report/report_page.h"
#include "pipeline/report/run_record.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  RunRecord record;
  record.name = "fuzz";
  std::string text(reinterpret_cast<const char*>(data), size);
  for (Json* part : {&record.evaluation, &record.inference, &record.training}) {
    const auto end = text.find('\0');
    expect_message([&] {
      Json value = parse_json<Json>(text.substr(0, end));
      if (value.is_object()) *part = std::move(value);
    });
    if (end == std::string::npos) break;
    text.erase(0, end + 1);
  }
  expect_message([&] {
    (void)report_page(record);
    (void)compare_page(record, record);
  });
  return 0;
}
