#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "io/base/enum_names.h"

namespace tessera {

/// What becomes of a number that is missing among the file names of a folder of sections.
enum class MissingSections { ask, black, repeat, skip };
constexpr auto enum_names(MissingSections) {
  return std::to_array<EnumName<MissingSections>>({{MissingSections::ask, "ask"},
                                                   {MissingSections::black, "black"},
                                                   {MissingSections::repeat, "repeat"},
                                                   {MissingSections::skip, "skip"}});
}

/// What becomes of samples of which the file says that 0 is white.
enum class WhiteIsZero { ask, keep, invert };
constexpr auto enum_names(WhiteIsZero) {
  return std::to_array<EnumName<WhiteIsZero>>(
      {{WhiteIsZero::ask, "ask"}, {WhiteIsZero::keep, "keep"}, {WhiteIsZero::invert, "invert"}});
}

/// Decisions that a file of images can need. Where one is needed and not made, the readers throw a UsageError
/// that names the option of `tessera import`.
struct ImageOptions {
  /// For `channel` and `time`: each one is a section.
  static constexpr std::int64_t kAsSections = -1;

  std::optional<std::int64_t> channel;  ///< the channel to read, or kAsSections
  std::optional<std::int64_t> time;     ///< the time point to read, or kAsSections
  /// Read the indices of a palette image, and grey PNG samples of less than 8 bits without scaling.
  bool indices = false;
  WhiteIsZero white_is_zero = WhiteIsZero::ask;
  MissingSections missing = MissingSections::ask;
};

}  // namespace tessera
