#pragma once

#include <cstdint>
#include <string>

#include "io/volume/volume.h"

namespace tessera {

/// How much of a result of `infer` is done, by its journal.
struct ResultCompleteness {
  std::int64_t blocks = 0, done = 0;  ///< 0 of 0: not known
  std::string problem;                ///< "9 of 256 blocks (3.5 %) are done"; "" for what is complete

  bool complete() const { return problem.empty(); }
};

/// A volume that is no result of `infer` is complete. A result is not complete when blocks are left, or when
/// what is done cannot be known: its journal is missing, damaged, or of another file. A packed copy says
/// itself what it has.
ResultCompleteness completeness_of(const VolumeInfo& volume);

/// completeness_of(). Errors: UsageError for a result that is not complete, unless `allowed`.
ResultCompleteness require_complete(const VolumeInfo& volume, bool allowed);

/// The number of done blocks as text: "9 of 256 blocks (3.5 %) are done".
std::string done_text(std::int64_t done, std::int64_t blocks);

/// In the attribute `packed` of a copy of an incomplete result, before done_text().
constexpr const char* kPackedIncomplete = "incomplete: ";

}  // namespace tessera
