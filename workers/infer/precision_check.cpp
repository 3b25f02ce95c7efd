#include "workers/infer/precision_check.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cassert>

namespace tessera {
namespace {

at::Tensor as_float(const VoxelBuffer& buffer) {
  const std::int64_t count = volume_of(buffer.shape) * buffer.channels;
  auto* data = const_cast<std::byte*>(
      buffer.bytes.data());  // from_blob takes no const pointer; the tensor is read only
  if (buffer.type == VoxelType::uint8) return at::from_blob(data, {count}, at::kByte).to(at::kFloat) / 255;
  return at::from_blob(data, {count}, buffer.type == VoxelType::float16 ? at::kHalf : at::kFloat)
      .to(at::kFloat);
}

}  // namespace

PrecisionCheck compare_probabilities(const VoxelBuffer& a, const VoxelBuffer& b) {
  assert(a.type == b.type && a.bytes.size() == b.bytes.size());
  const at::Tensor difference = (as_float(a) - as_float(b)).abs();
  return {difference.max().item<double>(), difference.mean().item<double>(),
          (difference > kPrecisionLimit).to(at::kDouble).mean().item<double>()};
}

}  // namespace tessera
