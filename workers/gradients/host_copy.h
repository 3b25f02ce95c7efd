#pragma once

#include <ATen/core/Tensor.h>

#include <span>

namespace tessera {

/// The values of a contiguous tensor on the CPU.
template <class T>
std::span<T> span_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<std::size_t>(tensor.numel())};
}

/// The values of a contiguous tensor in the host's memory: the tensor itself on the CPU, otherwise a copy,
/// for which the constructor and write_back() wait for the device.
class HostCopy {
 public:
  explicit HostCopy(const at::Tensor& tensor) : tensor_(tensor), host_(tensor.to(at::kCPU)) {}

  template <class T>
  std::span<T> values() const {
    return span_of<T>(host_);
  }
  void write_back() {
    if (!host_.is_alias_of(tensor_)) tensor_.copy_(host_);
  }

 private:
  at::Tensor tensor_, host_;
};

}  // namespace tessera
