#pragma once

#include <string>

namespace tessera {

/// The settings that change what a training computes and that differ between two resolved configs, such as
/// "train.seed was 1, is 2 now; data.train_sections was [0, 4], is [0, 3] now"; "" when all are equal. Left
/// out: limits, what only changes speed, and what a resume reports itself (changes_on_resume()).
std::string changed_settings(const std::string& then_yaml, const std::string& now_yaml);

}  // namespace tessera
