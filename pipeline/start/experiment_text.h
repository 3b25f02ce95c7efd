#pragma once

#include <string>

#include "pipeline/start/start_settings.h"

namespace tessera {

/// What was found in the data, one fact per line.
std::string facts_text(const StartFacts& facts);

/// What of the data deserves a look, one sentence each: blank sections, few classes, guesses about labels.
std::vector<std::string> concerns_about(const StartFacts& facts);

/// The experiment as a YAML file with comments that give the reasons.
std::string experiment_text(const StartFacts& facts, const StartSettings& settings);

}  // namespace tessera
