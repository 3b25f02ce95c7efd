#include "pipeline/report/live_report.h"

#include <spdlog/spdlog.h>

#include <exception>

#include "io/base/clock.h"
#include "io/base/error_message.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "pipeline/report/report_page.h"
#include "pipeline/report/run_record.h"

namespace tessera {
namespace {

constexpr int kReload_s = 20;
/// Seconds between two pages for each second that a page takes.
constexpr double kRest = 19;

}  // namespace

void LiveReport::update() noexcept {
  if (seconds_now() >= next_s_) write(kReload_s);
}

void LiveReport::finish() noexcept {
  write(0);
}

void LiveReport::write(int reload_s) noexcept {
  const double begin_s = seconds_now();
  const std::filesystem::path file = folder_ / "report.html";
  try {
    const FileLock lock(file);
    write_text_file(file, report_page(read_run(folder_.string()), reload_s));
    if (!told_ && reload_s > 0) spdlog::info("report: {}, written again at validations", file.string());
    told_ = true;
  } catch (const std::exception& error) {
    if (!failed_)
      spdlog::warn("cannot write the report of the training, which goes on: {}", message_of(error));
    failed_ = true;
  }
  next_s_ = seconds_now() + kRest * (seconds_now() - begin_s);
}

}  // namespace tessera
