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

/// One block to predict: the arguments of TilePredictor::predict.
struct BlockRequest {
  const VoxelBuffer& raw;
  Box raw_box;  ///< the box of the volume that `raw` holds
  Index3 volume_shape;
  Box block;
  const PredictorOptions& options;
  std::int64_t channels = 1;  ///< of the result
};

/// Stores the raw voxels of a block and its result during prediction.
class BlockMemory {
 public:
  virtual ~BlockMemory() = default;
  /// The raw voxels of a box as network input: (1, channels * sections, y, x), float32, on the computing
  /// device, mirrored beyond the volume and normalised.
  virtual at::Tensor normalised(const Box& box) = 0;
  /// Requires the probabilities computed for `core` to be finite. Errors: Error, naming the core, at the
  /// latest from finish().
  virtual void require_finite(const at::Tensor& probability, const Box& core) = 0;
  /// Stores probabilities (classes, y, x), float32 on the computing device, in the result over `core`,
  /// converted to the result's type. Requires them to be finite. Cores must arrive section by section, each
  /// once.
  virtual void store(const at::Tensor& probability, const Box& core) = 0;
  /// To be called after the last store(). Starts the copies of the remaining sections to the host.
  virtual void end() {}
  /// Whether finish() returns without waiting.
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

/// A block in host memory, for the CPU. `memory`: reused for the result; may be empty.
std::unique_ptr<BlockMemory> make_host_block(const BlockRequest& request, std::vector<std::byte> memory);

/// Device memory that is reused from block to block. It serves one block at a time.
struct DeviceBlockMemory {
  explicit DeviceBlockMemory(const at::Device& on) : device(on), copies(on, kPieceBytes) {}
  static constexpr std::int64_t kPieceBytes = std::int64_t{8} << 20;
  at::Device device;
  StagedCopies copies;
  at::Tensor raw, result;  ///< bytes, at least as many as the largest block so far needed
  bool taken = false;      ///< in use by a block
};

/// A block in device memory. Voxels are copied to the device in the file's type, section by section, just
/// before they are needed. The device normalises, selects classes, quantises and assembles tiles. The result
/// is copied back in its own type, section by section. Only finish() waits for the device. `memory` must
/// outlive the block and serves one block at a time. `result`: as `memory` of make_host_block.
std::unique_ptr<BlockMemory> make_device_block(const BlockRequest& request, DeviceBlockMemory& memory,
                                               std::vector<std::byte> result);

}  // namespace tessera
