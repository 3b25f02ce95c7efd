#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "workers/device/gpu_kernels.h"
#include "workers/samples/sample_source.h"

namespace tessera {

/// Samples ready for the network, on its device.
struct SampleTensors {
  at::Tensor input;    ///< (n, channels, side, side) float32, channels_last
  at::Tensor classes;  ///< (n, output, output) int64, or kIgnoredClass
  at::Tensor weights;  ///< likewise, float32
};

/// Makes the samples of a SampleSource on a device, from annotated sections that it holds there. They equal
/// those that SampleSource::prepare makes of the same recipes on the host, up to rounding, including the
/// noise. The kernels of sample_kernels.cu look up and interpolate the pixels; without them about forty of
/// LibTorch's operators do. The host does not wait for the device. Not thread-safe.
class DeviceSampler {
 public:
  /// Copies the sections to the device. `source` must outlive it; its normalisation may change. `launch`
  /// starts the kernels. If it is empty, or fails at the first sample, LibTorch's operators are used.
  DeviceSampler(const SampleSource& source, const at::Device& device, KernelLauncher launch = {});

  /// Bytes that the sections of a training take on a device.
  static std::int64_t bytes_of(const TrainingSet& data);

  /// The samples of the recipes, in their order. Errors: c10::Error, also when the device's memory runs out.
  SampleTensors make(std::span<const SampleRecipe> recipes);

 private:
  /// The held pixels of the sections, and where they are mirrored.
  struct Grid {
    Box box;                  ///< what is held
    at::Tensor last, period;  ///< (2, 1, 1): n - 1 and 2 (n - 1) along y and x, at least 1
  };
  struct Volume {
    at::Tensor raw;      ///< (channels, z, y, x) uint8, or float32 less `centre`
    at::Tensor classes;  ///< (z, y, x) uint8
    at::Tensor border;   ///< float32; undefined without a border part
    float centre = 0;
    Grid raw_grid, label_grid;
  };

  /// Columns of the basis: the node weights, the distance from the middle, 1.
  static constexpr std::int64_t kBasis = static_cast<std::int64_t>(kWarpNodes) + 2;
  /// The coefficients of a warp in the layout of sample_kernels.cu: for y and for x, of each pair of columns
  /// of the basis.
  struct WarpFactors {
    double y[5][5] = {}, x[5][5] = {};
  };
  WarpFactors factors_of(const SampleWarp& warp) const;

  Grid grid_of(const Box& box) const;
  at::Tensor to_device(const at::Tensor& host) const;
  // By LibTorch's operators.
  at::Tensor places(const SampleDraw& draw, const Symmetry& symmetry) const;
  at::Tensor cut_input(const SampleDraw& draw, const Symmetry& symmetry, const at::Tensor& places) const;
  void interpolate(const SampleDraw& draw, const at::Tensor& places, at::Tensor& planes) const;
  void cut_targets(const SampleDraw& draw, const at::Tensor& places, const at::Tensor& classes,
                   at::Tensor weights) const;
  // By the kernels.
  at::Tensor warped_input(const SampleDraw& draw, const Symmetry& symmetry) const;
  void warp_targets(const SampleDraw& draw, const Symmetry& symmetry, const at::Tensor& classes,
                    const at::Tensor& weights) const;
  /// Whether the kernels can be started: tries it once.
  bool has_kernels(const SampleRecipe& recipe);
  // In both cases.
  void change_greys(const SampleRecipe& recipe, at::Tensor& planes) const;
  void add_noise(const SampleChanges& changes, at::Tensor& planes) const;

  const SampleSource& source_;
  at::Device device_;
  std::int64_t side_, output_, channels_;
  std::vector<Volume> volumes_;
  at::Tensor basis_,
      basis_back_;                 ///< (side, kBasis), and its rows in reverse order
  std::vector<at::Tensor> cubic_;  ///< kCubicCoefficients, (4, 1, 1, 1) each
  at::Tensor taps_;                ///< (4, 1, 1, 1): -1 to 2
  at::Tensor class_weights_;       ///< of 256 classes
  at::Tensor noise_steps_;         ///< (2, values of a sample) int64; undefined where there is no noise
  KernelLauncher launch_;
  bool launched_ = false;  ///< the kernels have been started once
};

}  // namespace tessera
