#include "workers/train/sample_tensors.h"

#include <ATen/Functions.h>

#include <cstdint>

namespace tessera {

SampleTensors tensors_of(std::vector<PreparedSample>& prepared, const at::Device& device) {
  std::vector<at::Tensor> inputs, classes, weights;
  for (PreparedSample& one : prepared) {
    Sample& sample = one.sample;
    const std::int64_t output = sample.output_side, side = sample.input_side;
    inputs.push_back(at::from_blob(sample.input.data(), {1, sample.channels, side, side}, at::kFloat));
    classes.push_back(at::from_blob(sample.classes.data(), {1, output, output}, at::kByte));
    weights.push_back(at::from_blob(one.weights.data(), {1, output, output}, at::kFloat));
  }
  const auto moved = [&](const std::vector<at::Tensor>& parts) {
    const at::Tensor host = parts.size() == 1 ? parts.front() : at::cat(parts);
    return device.is_cpu() ? host : host.pin_memory().to(device, true);
  };
  return {moved(inputs).contiguous(at::MemoryFormat::ChannelsLast), moved(classes).to(at::kLong),
          moved(weights)};
}

}  // namespace tessera
