#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include "workers/device/device.h"
#include "workers/device/precision.h"

namespace tessera {

/// A device as LibTorch's type.
inline c10::Device torch_device(const Device& device) {
  return device.cuda ? c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device.index))
                     : c10::Device(c10::kCPU);
}

/// A precision as LibTorch's type.
inline c10::ScalarType scalar_type(Precision precision) {
  switch (precision) {
    case Precision::bfloat16:
      return c10::ScalarType::BFloat16;
    case Precision::float16:
      return c10::ScalarType::Half;
    case Precision::float32:
      break;
  }
  return c10::ScalarType::Float;
}

}  // namespace tessera
