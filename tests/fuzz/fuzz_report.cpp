// The files of a run, and the report of them. A zero byte separates the files.

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
  const auto next = [&] {
    const auto end = text.find('\0');
    const std::string part = text.substr(0, end);
    text.erase(0, end == std::string::npos ? end : end + 1);
    return part;
  };
  for (Json* part : {&record.evaluation, &record.inference, &record.training, &record.segmentation,
                     &record.object_evaluation, &record.graph_evaluation}) {
    expect_message([&] {
      Json value = parse_json<Json>(next());
      if (value.is_object()) *part = std::move(value);
    });
  }
  expect_message([&] { record.training_config = config_keys(next(), "config.yaml"); });
  expect_message([&] { record.metrics = read_metrics(next()); });
  expect_message([&] {
    (void)report_page(record);
    (void)compare_page(record, record);
  });
  return 0;
}
