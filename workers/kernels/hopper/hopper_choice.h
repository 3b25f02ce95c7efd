#pragma once

#include "workers/kernels/convolution_kernel.h"

namespace tessera::gpu {

/// Whether the kernels of hopper_kernels.cu can compute a layer: bfloat16 or float16, channels a multiple of
/// 64.
bool can_use_hopper_kernels(const ConvolutionLayer& layer);

/// The one of them that is estimated to be the fastest for a layer and an output size. The choice does not
/// change the result: all have the same reduction order.
const ConvolutionKernel& hopper_kernel_for(const ConvolutionLayer& layer, const ImageSize& out);

}  // namespace tessera::gpu
