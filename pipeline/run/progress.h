#pragma once

#include <cstdint>
#include <string>

namespace tessera {

/// Shows the progress on standard error: a bar with rate and remaining time on a terminal, else a line at
/// most every 10 s.
class Progress {
 public:
  /// `total` and `before` count what add() counts; `scale` of these make one `unit` ("Mpx") on the display.
  /// Prints nothing where `shown` is false. `before`: done by earlier starts; it counts for the share, not
  /// for the rate.
  Progress(std::string what, double total, std::string unit, double scale, bool shown, double before = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(double done, const std::string& remark = {});
  /// Ends the bar's line.
  void finish();
  /// Seconds since the beginning.
  double elapsed_s() const;

 private:
  void draw(double now_s);

  std::string what_, unit_, remark_;
  double total_, scale_, before_, done_ = 0;
  bool shown_, terminal_, bar_drawn_ = false;
  double begin_s_, last_drawn_s_;
};

/// "1,200".
std::string with_thousands(std::int64_t count);

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration_text(double seconds);

}  // namespace tessera
