#pragma once

#include <cstdint>

#include "workers/synthetic/serial_sections.h"

namespace tessera {

/// A synthetic sequence of flat cells as differential interference contrast (DIC) shows them: a cell is
/// bright on one side and dark on the other, its inside is as grey as the background, and cells touch. Frames
/// are the sections of the volume. Frames can be made in any order: the bytes depend on the options and the
/// frame only.
class DicCells {
 public:
  /// Errors: UsageError for an impossible shape or cell size.
  explicit DicCells(const SerialSectionsOptions& options);

  /// 0 <= frame < shape.z. Cells that touch have a background of about 1 pixel between them.
  SerialSection section(std::int64_t frame) const;

 private:
  SerialSectionsOptions options_;
};

}  // namespace tessera
