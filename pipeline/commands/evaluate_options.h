#pragma once

#include <string>

#include "io/volume/label_id.h"
#include "pipeline/commands/commands.h"
#include "workers/samples/sample_warp.h"

namespace tessera {

// Values of options of `evaluate`, with and without --graph. Errors: UsageError.

/// "10:50,0:64" as y [10, 50), x [0, 64).
PixelBounds parse_region(const std::string& text);
/// The id of a label.
LabelId id_option(const OptionValues& values, const char* option);

}  // namespace tessera
