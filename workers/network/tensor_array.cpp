#include "workers/network/tensor_array.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "io/base/error.h"

namespace tessera {

CheckpointArray array_of(const at::Tensor& tensor) {
  CheckpointArray array;
  array.type =
      tensor.scalar_type() == at::kLong ? CheckpointArray::Type::int64 : CheckpointArray::Type::float32;
  const at::Tensor host =
      tensor.detach()
          .to(at::kCPU, array.type == CheckpointArray::Type::int64 ? at::kLong : at::kFloat)
          .contiguous();
  array.shape = host.sizes().vec();
  array.bytes.resize(host.nbytes());
  std::memcpy(array.bytes.data(), host.data_ptr(), host.nbytes());
  return array;
}

void copy_array(const Checkpoint& checkpoint, const std::string& path, at::Tensor& tensor,
                const std::string& name) {
  const auto found = checkpoint.arrays.find(path);
  if (found == checkpoint.arrays.end()) throw Error(fmt::format("{} has no array {}", name, path));
  const CheckpointArray& array = found->second;
  const bool whole = tensor.scalar_type() == at::kLong;
  if (array.shape != tensor.sizes().vec() || whole != (array.type == CheckpointArray::Type::int64)) {
    throw Error(fmt::format("{}: the array {} has the shape ({}), not ({})", name, path,
                            fmt::join(array.shape, ", "), fmt::join(tensor.sizes().vec(), ", ")));
  }
  auto* bytes =
      const_cast<std::byte*>(array.bytes.data());  // from_blob has no const overload; nothing writes to it
  tensor.copy_(at::from_blob(bytes, tensor.sizes(), whole ? at::kLong : at::kFloat));
}

}  // namespace tessera
