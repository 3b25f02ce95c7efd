#pragma once

#include <cstdint>
#include <string>

#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/report/html.h"

namespace tessera {

/// The pictures of a section at full resolution, to switch between without a script: raw with the errors of
/// the prediction over it, which can be taken away, beside the probability or the labels. A section of more
/// than 1.6 Mpixels is scaled down by a whole factor, and a detail of 640 x 640 pixels with most errors
/// follows at full resolution. `id`: unique in the page. Errors: Error.
Html section_viewer(const std::string& id, const std::string& caption, const SectionLayers& layers,
                    double threshold);

}  // namespace tessera
