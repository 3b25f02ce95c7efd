#pragma once

#include <cstdint>
#include <string>

namespace tessera {

/// Tells a person how far the work is: a bar with rate and time left on a terminal, else plain lines on
/// standard error, at most one each 10 s.
class Progress {
 public:
  /// `total` in units of `unit` ("Mpx"), each `scale` of what update() counts. Silent where `shown` is false.
  /// `before`: what earlier starts have done of it, which counts for the share and not for the rate.
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

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration_text(double seconds);

}  // namespace tessera
