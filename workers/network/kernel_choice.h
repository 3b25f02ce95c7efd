#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/geometry/network_geometry.h"
#include "workers/device/device.h"
#include "workers/device/gpu_kernels.h"
#include "workers/device/precision.h"
#include "workers/network/forward_plan.h"

namespace tessera {

/// A network whose kernels are chosen, and the functions that run it with given kernels.
struct KernelTrial {
  NetworkGeometry geometry;
  at::ScalarType type = at::kFloat;  ///< of images and weights
  at::Tensor input;                  ///< float32 (n, channels, h, w)
  Device device;
  ForwardPlan plan;  ///< for the size of `input`
  /// Computes the logits of an input of any legal size.
  std::function<at::Tensor(const at::Tensor& input, const GpuKernels&)> run;
  /// Computes one step that has weights. `image` is the input of the step.
  std::function<at::Tensor(std::size_t step, const at::Tensor& image, const GpuKernels&)> run_step;
  std::vector<GpuKernels> variants;  ///< the usually fastest first
  /// Sides of square images, in pixels: one for each kernel that may compute the step in a fixed reduction
  /// order.
  std::function<std::vector<std::int64_t>(std::size_t step)> ordered_sides;
  bool can_order = false;  ///< whether GpuKernels::ordered is supported; ignored with ExactTiles::no
  /// Measures seconds. Empty: the first suitable variant is chosen, which is reproducible.
  KernelTimer time = {};
};

struct KernelChoice {
  GpuKernels kernels;
  bool translation_invariant = false, shape_invariant = false;  ///< true if tested and found so
  bool depends_on_position = false;  ///< no invariant variant was found; false if the input is too small
};

/// Chooses the fastest translation-invariant variant, so that tiles have no seams, not even by rounding. If
/// no variant is translation-invariant, chooses the fastest of all. With `can_order`, a variant that depends
/// on the position is tried again with a fixed reduction order in the layers that cause this. With
/// ExactTiles::yes, all layers use a fixed reduction order, so a pixel is equal in tiles of every size.
/// ExactTiles::automatic does the same in float32 without a timer. Each kernel with a fixed reduction order
/// is first compared with LibTorch's. Errors: c10::Error if no variant works, or if `yes` is not possible;
/// without a timer also if memory runs out and would decide between variants; after a device failure.
KernelChoice choose_kernels(const KernelTrial& trial, ExactTiles exact_tiles);

/// Whether a CUDA error message names a failure after which the process can no longer use the device.
bool says_device_failed(const std::string& what);

}  // namespace tessera
