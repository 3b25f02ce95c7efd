#pragma once

#include <cstdint>
#include <string>

namespace tessera {

/// What a line of progress tells, in the units that it shows.
struct ProgressState {
  std::string what = {};    ///< "train"
  std::string unit = {};    ///< "iterations"
  std::string remark = {};  ///< "loss 0.1234", or ""
  double done = 0, total = 0;
  bool counts = false;   ///< whole things: without decimals
  double share = 0;      ///< of the work or of the time limit, whichever is nearer to its end; 0 to 1
  double per_s = 0;      ///< 0: not known yet
  double left_s = -1;    ///< below 0: not known yet
  bool is_over = false;  ///< `left_s` is the time that it took
};

/// "train: 11 %, 135 of 1200 iterations, 2.31/s, 7 min 41 s left, loss 0.1234".
std::string progress_text(const ProgressState& state);
/// The same with a bar, in at most `columns` characters: where that is too narrow, parts are left out.
std::string progress_bar(const ProgressState& state, int columns);

/// Shows the progress on standard error: a bar with rate and remaining time where the console has a status
/// line (io/base/console.h), else a line at most every 10 s. The remaining time is shown after a few calls of
/// add(): the first call, which includes preparations, does not count for it.
class Progress {
 public:
  /// `total` and `before` count what add() counts; `scale` of these make one `unit` ("Mpx") on the display,
  /// 1: they are counts. Prints nothing where `shown` is false. `before`: done by earlier starts; it counts
  /// for the share, not for the rate.
  Progress(std::string what, double total, std::string unit, double scale, bool shown, double before = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(double done, const std::string& remark = {});
  /// The work also ends after `limit_s` seconds, of which `used_s` are over; none: limit_s is 0.
  void set_time(double used_s, double limit_s);
  /// Leaves the bar as it is at the end.
  void finish();
  /// Seconds since the beginning.
  double elapsed_s() const;

 private:
  ProgressState state_at(double now_s) const;
  void draw(double now_s);

  std::string what_, unit_, remark_;
  double total_, scale_, before_, done_ = 0;
  bool shown_, is_over_ = false;
  double begin_s_, last_drawn_s_;
  /// Calls of add() in quick succession are one report: an engine may tell of many iterations at once.
  std::int64_t reports_ = 0;
  double report_s_ = 0, first_s_ = 0, first_done_ = 0;  ///< of the last report; of the first one
  double used_s_ = 0, limit_s_ = 0, used_at_s_ = 0;
};

/// "1,200".
std::string with_thousands(std::int64_t count);

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration_text(double seconds);

}  // namespace tessera
