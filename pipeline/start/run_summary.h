#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pipeline/cluster/job_script.h"
#include "pipeline/config/experiment.h"
#include "pipeline/report/named_scores.h"

namespace tessera {

/// One sentence on whether a score is good: against what labels of this kind give without any network, or by
/// the limits in docs/scores.md. "" for scores that are not on the screen.
std::string verdict_on(const NamedScore& score, const Json& evaluation);

/// What `tessera run` ends with: the scores that matter with a sentence each, the time of each stage, and
/// what to open. Reads the files of the run folder; what they lack is left out.
std::string run_summary(const ExperimentConfig& config, const std::vector<std::pair<Stage, double>>& seconds);

}  // namespace tessera
