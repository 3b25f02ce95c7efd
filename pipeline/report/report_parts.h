#pragma once

#include <string>
#include <vector>

#include "pipeline/report/html.h"
#include "pipeline/report/run_record.h"

namespace tessera {

/// Sections that a table of sections or changes lists at most.
inline constexpr std::size_t kMostSections = 400;

// The parts of a run's report. A part without data is empty or a note that says so.

/// Worst, best and first section with captions, and a note for each section that could not be drawn.
Html picture_part(const RunRecord& record);
/// The scores of an evaluation of any kind, with their plots.
Html score_part(const RunRecord& record);
/// A row for each section, and a plot through the stack.
Html section_part(const RunRecord& record);
/// Number, sizes and pictures of the objects, their scores, and those of every stage of the merges.
Html object_part(const RunRecord& record);
/// Loss, validation and learning rate.
Html training_part(const RunRecord& record);
/// How the workers spent their time, and the failed blocks.
Html inference_part(const RunRecord& record);
/// Network, training, inference and evaluation in a few lines each.
Html fact_part(const RunRecord& record);
/// Every key of the resolved config.
Html config_part(const RunRecord& record);

/// "1,500 blocks", "1 block".
std::string plural(double count, const std::string& word);
/// "sections 16 to 19" of a half-open range.
std::string section_range_text(double begin, double end);
/// Rows are the truth, columns the prediction; shares of a row are shaded. A note for more than 24 classes.
Html confusion_table(const Json& pixels, const std::vector<std::string>& classes);

}  // namespace tessera
