#pragma once

#include "pipeline/report/html.h"
#include "pipeline/report/run_record.h"

namespace tessera {

/// The previews of one validation section over the iterations, side by side: at most eight, the first and the
/// last among them, each with its validation error. Empty without previews; a preview that cannot be read is
/// left out.
Html preview_strip(const RunRecord& record);

}  // namespace tessera
