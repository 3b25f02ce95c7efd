#include "pipeline/run/wall_time.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdlib>

#include "io/base/clock.h"
#include "io/base/error.h"

namespace tessera {
namespace {

/// How much longer than expected work may take.
constexpr double kAllowance = 1.5;

std::optional<double> seconds_left() {
  const char* text = std::getenv("TESSERA_DEADLINE");
  if (text == nullptr || *text == 0) return std::nullopt;
  char* end = nullptr;
  const double deadline = std::strtod(text, &end);
  if (*end != 0 || !std::isfinite(deadline)) {
    throw UsageError(
        fmt::format("TESSERA_DEADLINE is '{}': seconds since 1970 are needed, or nothing for no end", text));
  }
  return deadline -
         std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

WallTime::WallTime() : WallTime(seconds_left()) {}

WallTime::WallTime(std::optional<double> seconds_left) {
  if (seconds_left) end_s_ = seconds_now() + *seconds_left;
}

bool WallTime::allows(double seconds) const {
  return !end_s_ || seconds_now() + kAllowance * seconds < *end_s_;
}

}  // namespace tessera
