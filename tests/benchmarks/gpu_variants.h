#pragma once

#include <memory>
#include <string>

#include "workers/device/device.h"
#include "workers/device/precision.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/network/network.h"
#include "workers/network/tile_network.h"

namespace tessera::benchmarks {

// The choices of kernels on a GPU by name, to be timed in turn. If the device or the build does not support
// one, an Error says so, here or at the first passes; the program itself would use "plain".

/// "fastest" (what make_tile_network makes), "by_rule" (the same, with HeuristicAlgorithms around its use),
/// and with it "library" (no layer with a fixed reduction order), "exact" (all layers), "libtorch" (the
/// network as one writes it with LibTorch), "plain" (the arrangement of gpu_network.h alone), or plain but
/// for "maxima", "fused", "both" of them, "own" (custom CUDA kernels), "all" (fused and custom), "recorded".
std::unique_ptr<TileNetwork> network_by(const std::string& way, const Network& network, Precision precision,
                                        const Device& device);

/// For so many samples at once: "libtorch" (its automatic differentiation), "plain" (the arrangement of
/// make_gpu_engine alone), or plain but "fused", "own", "all" (fused and custom) or "recorded".
std::unique_ptr<GradientEngine> engine_by(const std::string& way, FlatParameters& parameters,
                                          Precision precision, std::int64_t samples_at_once);

}  // namespace tessera::benchmarks
