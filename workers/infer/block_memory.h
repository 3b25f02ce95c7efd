#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "io/base/error.h"
#include "io/geometry/voxel_type.h"
#include "workers/infer/staged_copies.h"
#include "workers/infer/tile_predictor.h"

namespace tessera {

/// One block to predict: what TilePredictor::predict is given.
struct BlockRequest {
  const VoxelBuffer& raw;
  Box raw_box;  ///< what `raw` holds of the volume
  Index3 volume_shape;
  Box block;
  const PredictorOptions& options;
  std::int64_t channels = 1;  ///< of the result
};

/// Where the raw voxels of a block and its result are while it is predicted.
class BlockMemory {
 public:
  virtual ~BlockMemory() = default;
  /// The raw voxels of a box as the network wants them: (1, channels * sections, y, x), float32, on the
  /// computing device, mirrored beyond the volume and normalised.
  virtual at::Tensor normalised(const Box& box) = 0;
  /// Demands that probabilities made for `core` are finite. Errors: Error, naming it; at finish() at the
  /// latest.
  virtual void require_finite(const at::Tensor& probability, const Box& core) = 0;
  /// Puts probabilities (classes, y, x), float32 on the computing device, into the result over `core`, in its
  /// type, and demands that they are finite. Cores come section by section, each once.
  virtual void store(const at::Tensor& probability, const Box& core) = 0;
  /// Nothing will be stored any more: what is left of the result sets out for the host.
  virtual void end() {}
  /// Whether finish() would not have to wait.
  virtual bool is_done() { return true; }
  /// The result, after end().
  virtual VoxelBuffer finish() = 0;
};

[[noreturn]] inline void throw_not_finite(const Box& core, Precision precision) {
  throw Error(fmt::format(
      "the prediction over {} is not finite: the network's weights or the precision {} are unfit (try "
      "precision: float32, or another checkpoint)",
      to_string(core), name_of(precision)));
}

/// Voxels stay in the host's memory: for computing on the CPU. `memory`: for the result, where the caller has
/// some.
std::unique_ptr<BlockMemory> make_host_block(const BlockRequest& request, std::vector<std::byte> memory);

/// A device's memory for blocks, kept from one to the next; of one at a time.
struct DeviceBlockMemory {
  explicit DeviceBlockMemory(const at::Device& on) : device(on), copies(on, kPieceBytes) {}
  static constexpr std::int64_t kPieceBytes = std::int64_t{8} << 20;
  at::Device device;
  StagedCopies copies;
  at::Tensor raw, result;  ///< bytes; at least as many as the largest block so far has
  bool taken = false;      ///< by a block
};

/// Voxels go to the device in the file's type, section by section just before they are needed; normalising,
/// choosing, quantising and joining tiles happen there; the result comes back in its own type, section by
/// section. Nothing waits for the device before finish(). `memory` must outlive it, and serves one block at a
/// time; `result` is as for the host.
std::unique_ptr<BlockMemory> make_device_block(const BlockRequest& request, DeviceBlockMemory& memory,
                                               std::vector<std::byte> result);

}  // namespace tessera
