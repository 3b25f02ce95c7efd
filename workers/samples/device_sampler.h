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

/// Makes the samples of a SampleSource on a device, from annotated sections that it holds there: those that
/// SampleSource::prepare makes of the same recipes on the host, to rounding, noise too. Pixels are looked up
/// and interpolated by the kernels of sample_kernels.cu, or, without them, by some forty of LibTorch's
/// operators. Nothing waits for the device.
class DeviceSampler {
 public:
  /// Copies the sections to the device. `source` must outlive it; its normalisation may change. `launch`
  /// starts the kernels; should that fail at the first sample, and where it is empty, LibTorch's operators do
  /// their work.
  DeviceSampler(const SampleSource& source, const at::Device& device, KernelLauncher launch = {});

  /// What the sections of a training take on a device.
  static std::int64_t bytes_of(const TrainingSet& data);

  SampleTensors make(std::span<const SampleRecipe> recipes);

 private:
  /// The pixels of sections, and where they mirror.
  struct Grid {
    Box box;                  ///< what is held
    at::Tensor last, period;  ///< (2, 1, 1): n - 1 and 2 (n - 1) along y and x, at least 1
  };
  struct Volume {
    at::Tensor raw;      ///< (channels, z, y, x) uint8, or float32 less `centre`
    at::Tensor classes;  ///< (z, y, x) uint8
    at::Tensor border;   ///< likewise float32; undefined where there is none
    float centre = 0;
    Grid raw_grid, label_grid;
  };

  /// The coefficients of a warp as sample_kernels.cu has them: for y and for x, of each pair of the basis'
  /// columns.
  struct Bend {
    double y[5][5] = {}, x[5][5] = {};
  };
  Bend bend_of(const SampleWarp& warp) const;

  Grid grid_of(const Box& box) const;
  at::Tensor to_device(const at::Tensor& host) const;
  at::Tensor places(const SampleDraw& draw, const Symmetry& symmetry) const;
  at::Tensor cut_input(const SampleDraw& draw, const Symmetry& symmetry, const at::Tensor& places) const;
  void interpolate(const SampleDraw& draw, const at::Tensor& places, at::Tensor& planes) const;
  void change_greys(const SampleRecipe& recipe, at::Tensor& planes) const;
  void add_noise(const SampleChanges& changes, at::Tensor& planes) const;
  void cut_answer(const SampleDraw& draw, const at::Tensor& places, const at::Tensor& classes,
                  at::Tensor weights) const;
  /// The same by the kernels.
  at::Tensor bent_input(const SampleDraw& draw, const Symmetry& symmetry) const;
  void bend_answer(const SampleDraw& draw, const Symmetry& symmetry, const at::Tensor& classes,
                   const at::Tensor& weights) const;
  /// Whether the kernels can be started: tries it once.
  bool has_kernels(const SampleRecipe& recipe);

  const SampleSource& source_;
  at::Device device_;
  std::int64_t side_, output_, channels_;
  std::vector<Volume> volumes_;
  at::Tensor basis_,
      basis_back_;  ///< (side, 5): node weights, place from the middle, 1; and from the far end
  std::vector<at::Tensor> cubic_;  ///< kCubicCoefficients, (4, 1, 1, 1) each
  at::Tensor taps_;                ///< (4, 1, 1, 1): -1 to 2
  at::Tensor class_weights_;       ///< of 256 classes
  at::Tensor noise_steps_;         ///< (2, values of a sample) int64; undefined where there is no noise
  KernelLauncher launch_;
  bool launched_ = false;  ///< at least once, so it can be done
};

}  // namespace tessera
