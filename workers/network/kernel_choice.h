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

/// A network on a GPU whose kernels are chosen by runs on an input of the first size.
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
  /// Sides of square images: one for each kernel that a step with a fixed reduction order may use.
  std::function<std::vector<std::int64_t>(std::size_t step)> ordered_sides;
  bool can_order =
      false;  ///< whether there is a launcher for GpuKernels::ordered; not used with ExactTiles::no
  /// Seconds; without it the first suitable variant is chosen, which is the same in every run.
  KernelTimer time = {};
};

struct KernelChoice {
  GpuKernels kernels;
  bool translation_invariant = false, shape_invariant = false;  ///< found to be so
  bool depends_on_place = false;  ///< none was found that is not; neither: the input is too small to tell
};

/// The fastest of the translation-invariant variants, so that tiles have no seams, not even by rounding;
/// without one, the fastest of all. `can_order`: a variant that depends on the position is tried again with a
/// fixed reduction order in the layers that cause this. ExactTiles::yes, and in float32 without a timer also
/// automatic: all layers have a fixed reduction order, and a pixel is the same in tiles of every size. Every
/// kernel with a fixed reduction order is first compared with LibTorch's. Errors: c10::Error when no variant
/// or `yes` is possible; when memory runs out, if that would decide between variants without a timer; and for
/// a failure of the device.
KernelChoice choose_kernels(const KernelTrial& trial, ExactTiles exact_tiles);

/// Whether a message of CUDA names a failure after which the process cannot use the device.
bool says_device_failed(const std::string& what);

}  // namespace tessera
