#pragma once

#include <limits>
#include <string>
#include <vector>

#include "pipeline/evaluate/evaluation_json.h"
#include "pipeline/report/html.h"

namespace tessera {

enum class Better { lower, higher };

/// A score of a whole evaluation, one number.
struct NamedScore {
  std::string key;   ///< unique within an evaluation
  std::string name;  ///< "V^Rand_thin": score_name() sets it
  std::string hint;  ///< what it is, in a line
  Better better = Better::higher;
  double value = 0;
  double threshold = std::numeric_limits<double>::quiet_NaN();  ///< of a probability, where it is best
  bool headline = false;                                        ///< among the few to look at first
};

/// The scores that an evaluation.json of any kind holds, in the order to read them.
std::vector<NamedScore> scores_in(const Json& evaluation);

/// With what follows ^ set high and what follows _ set low.
Html score_name(const std::string& name);

/// The number that sections are ranked by: its key in `sections`, its name, and which is better.
struct SectionScore {
  std::string key, name;
  Better better = Better::higher;
};
SectionScore section_score(const Json& evaluation);

}  // namespace tessera
