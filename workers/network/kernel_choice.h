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

/// A network on a GPU whose kernels are to be chosen, by trying them on its first input's size.
struct KernelTrial {
  NetworkGeometry geometry;
  at::ScalarType type = at::kFloat;  ///< of its images and weights
  at::Tensor input;                  ///< float32 (n, channels, h, w)
  Device device;
  ForwardPlan plan;  ///< for that size
  /// Logits of an input of whichever legal size.
  std::function<at::Tensor(const at::Tensor& input, const GpuKernels&)> run;
  /// One step that multiplies by weights, of an image that it reads.
  std::function<at::Tensor(std::size_t step, const at::Tensor& image, const GpuKernels&)> run_step;
  std::vector<GpuKernels> ways;  ///< the mostly fastest first
  /// Sides of square images: one for each kernel that a step summed in one order may go by.
  std::function<std::vector<std::int64_t>(std::size_t step)> ordered_sides;
  bool can_order =
      false;  ///< whether there is a launcher for GpuKernels::ordered; not used with ExactTiles::no
  /// Seconds; without it the first way that does is taken, for the same choice every time.
  KernelTimer time = {};
};

struct KernelChoice {
  GpuKernels kernels;
  bool translation_invariant = false, shape_invariant = false;  ///< found to be so
  bool depends_on_place = false;  ///< none was found that is not; neither: the input is too small to tell
};

/// The fastest of those ways that say the same of a pixel wherever it is in an input, so that there is no
/// seam, be it of rounding, between tiles; where there is none, the fastest of all. `can_order`: a way that
/// does not is tried again with the layers at fault summed in one order. ExactTiles::yes, and in float32
/// without a timer automatic, too: all layers are summed so, and a pixel is the same in tiles of every size.
/// Every kernel that sums in one order is compared with LibTorch's before. Errors: c10::Error where no way is
/// possible, or `yes` is not; where memory runs out, if that decided between ways by rule; and what CUDA has
/// failed with for good.
KernelChoice choose_kernels(const KernelTrial& trial, ExactTiles exact_tiles);

/// Whether these are CUDA's words for a failure that leaves a device of no use to the process.
bool says_device_failed(const std::string& what);

}  // namespace tessera
