#pragma once

#include "pipeline/config/segment_config.h"

namespace tessera {

/// Reads the keys of `segment:` that belong to method: components. Problems are noted in the document.
void read_components(ConfigSection& segment, SegmentConfig& s);

}  // namespace tessera
