#pragma once

#include <string>

#include "pipeline/report/run_record.h"

namespace tessera {

/// The report of one run as a self-contained HTML file. It names the steps that the run has not done yet.
std::string report_page(const RunRecord& record);

}  // namespace tessera
