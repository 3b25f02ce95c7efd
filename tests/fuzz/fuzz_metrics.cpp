// metrics.csv of a run, and the report's curves of it.

#include <string>

#include "pipeline/report/report_page.h"
#include "pipeline/report/run_record.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  RunRecord record;
  record.name = "fuzz";
  expect_message([&] {
    record.metrics = read_metrics(std::string(reinterpret_cast<const char*>(data), size));
    (void)report_page(record);
  });
  return 0;
}
