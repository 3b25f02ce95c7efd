#pragma once

#include <string>

namespace tessera {

/// What a network computes in. Weights and activations are of this type; sums inside a convolution are
/// float32.
enum class Precision { float32, bfloat16, float16 };

std::string name_of(Precision precision);

}  // namespace tessera
