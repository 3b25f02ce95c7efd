#pragma once

#include <string>

#include "pipeline/report/run_record.h"

namespace tessera {

/// The report of one run as a self-contained HTML file. It names the steps that the run has not done yet.
/// `reload_s`: a browser loads the file again so often, in seconds; 0: never.
std::string report_page(const RunRecord& record, int reload_s = 0);

}  // namespace tessera
