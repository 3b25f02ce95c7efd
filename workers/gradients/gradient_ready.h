#pragma once

#include <cstdint>
#include <functional>

namespace tessera {

/// Called when the first `values` values of the flat gradient are final. The caller may be another thread
/// than the one that waits for the backward pass.
using GradientReady = std::function<void(std::int64_t values)>;

}  // namespace tessera
