#pragma once

#include <filesystem>

namespace tessera {

/// Writes report.html into the run folder of a training that runs, for the root. A browser that shows it
/// loads it again every 20 s. It takes at most a twentieth of the time: where a page takes long, fewer are
/// written. A page that cannot be written is a warning, once, and the training goes on.
class LiveReport {
 public:
  explicit LiveReport(std::filesystem::path run_folder) : folder_(std::move(run_folder)) {}

  /// After a validation.
  void update() noexcept;
  /// After the end of the training: a page that is not loaded again.
  void finish() noexcept;

 private:
  void write(int reload_s) noexcept;

  std::filesystem::path folder_;
  double next_s_ = 0;  ///< of seconds_now()
  bool told_ = false, failed_ = false;
};

}  // namespace tessera
