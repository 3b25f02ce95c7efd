#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/volume/volume.h"

namespace tessera {

/// What a result of `infer` says of its values, in its attributes `meaning` and `classes`.
struct PredictionMeaning {
  enum class Values {
    unknown,      ///< no such attributes
    probability,  ///< of `output_class`
    classes       ///< the predicted class
  };
  Values values = Values::unknown;
  std::int64_t output_class = 1;        ///< of a probability
  std::optional<std::int64_t> classes;  ///< of the network; none: not known
};

/// The text of the attribute `meaning`: "the predicted class".
constexpr const char* kPredictedClass = "the predicted class";

/// The attribute of objects that were made within each section, and its text. An id is then in one section
/// only.
constexpr const char* kObjectsWithin = "objects_within";
constexpr const char* kWithinSections = "sections";

/// The attribute of a result that holds the resolved experiment of the network's training. An ensemble has
/// one for each different training, numbered from 0.
std::string training_attribute(std::size_t number);

PredictionMeaning meaning_of(const VolumeInfo& prediction);

/// Whether the voxels of an integer volume look like ids or classes rather than a probability of its full
/// range: no value reaches a sixteenth of the range, or most neighbouring voxels between the extremes
/// are equal. False for floating point, and where there is nothing to tell by.
bool looks_like_ids(const VoxelBuffer& voxels);

}  // namespace tessera
