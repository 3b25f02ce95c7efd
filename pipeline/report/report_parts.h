#pragma once

#include <string>
#include <vector>

#include "pipeline/report/html.h"
#include "pipeline/report/run_record.h"

namespace tessera {

// The parts of a run's report. Each is empty, or says so in words, where the run has nothing to show for it.

/// Worst, best and first section with their captions. What could not be drawn is said.
Html picture_part(const RunRecord& record);
/// Scores of whatever kind the evaluation is, with their plots.
Html score_part(const RunRecord& record);
/// A row per section, and their course through the stack.
Html section_part(const RunRecord& record);
/// Loss, validation and learning rate.
Html training_part(const RunRecord& record);
/// Where the workers' time went, and what failed.
Html inference_part(const RunRecord& record);
/// Network, training, inference and evaluation in a few lines each.
Html fact_part(const RunRecord& record);
/// Every key of the resolved config.
Html config_part(const RunRecord& record);

/// Sections 16 to 19, from a half-open range.
std::string section_range_text(double begin, double end);
/// Rows are the truth, columns the prediction; each row's shares are shaded. Not of more than 24 classes.
Html confusion_table(const Json& pixels, const std::vector<std::string>& classes);

}  // namespace tessera
