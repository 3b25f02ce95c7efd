#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "io/network_geometry.h"
#include "workers/network/forward_plan.h"
#include "workers/network/gpu_kernels.h"

namespace tessera {

/// A network on a GPU whose kernels are to be chosen, by trying them on its first input's size.
struct KernelTrial {
  NetworkGeometry geometry;
  at::ScalarType type = at::kFloat;  ///< of its images and weights
  at::Tensor input;                  ///< float32 (n, channels, h, w)
  ForwardPlan plan;                  ///< for that size
  /// Logits of an input of whichever legal size.
  std::function<at::Tensor(const at::Tensor& input, const GpuKernels&)> run;
  /// One step that multiplies by weights, of an image that it reads.
  std::function<at::Tensor(std::size_t step, const at::Tensor& image, const GpuKernels&)> run_step;
  std::vector<GpuKernels> ways;  ///< the mostly fastest first
  bool can_order = false;        ///< whether there is a launcher for GpuKernels::ordered
  /// Seconds; without it the first way that does is taken, for the same choice every time.
  KernelTimer time = {};
};

struct KernelChoice {
  GpuKernels kernels;
  bool independent_of_place = false, independent_of_size = false;
  bool depends_on_place = false;      ///< none was found that is not; neither: the input is too small to tell
};

/// The fastest of those ways that say the same of a pixel wherever it is in an input, so that there is no seam, be it of rounding, between
/// tiles. A way that does not is tried again with the layers at fault summed in one order. Where there is none, the fastest of all.
/// Errors: c10::Error where none is possible; without a timer also where memory runs out, which must not decide.
KernelChoice choose_kernels(const KernelTrial& trial);

/// All layers summed in one order: a pixel is the same in tiles of every size, too. It is tried nevertheless, where the input is large
/// enough. Errors: c10::Error where it is not so, or the device cannot.
KernelChoice choose_ordered_kernels(const KernelTrial& trial);

}  // namespace tessera
