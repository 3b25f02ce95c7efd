#include "workers/train/device_sums.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "workers/samples/pixel_weights.h"
#include "workers/train/gradient_norm.h"

namespace tessera {

DeviceSums::DeviceSums(const at::Device& device)
    : values_(at::zeros({4}, at::TensorOptions().dtype(at::kDouble).device(device))) {}

void DeviceSums::clear() {
  values_.zero_();
}

void DeviceSums::add(const at::Tensor& loss, const at::Tensor& weights, const at::Tensor& answer,
                     const at::Tensor& classes) {
  const at::Tensor judged = classes.ne(kIgnoredClass);
  values_.add_(at::stack({loss.to(at::kDouble), weights.sum(at::kDouble),
                          (answer.ne(classes) & judged).sum(at::kDouble), judged.sum(at::kDouble)}));
}

void DeviceSums::finish(at::Tensor& gradient, double clip_norm) {
  const at::Tensor weight = values_[1].clamp_min(kLeastWeight);
  const at::Tensor norm =
      at::linalg_vector_norm(gradient, 2, at::OptionalIntArrayRef{}, false, at::kDouble).div_(weight);
  at::Tensor factor = weight.reciprocal();
  // clip_factor, on the device.
  if (clip_norm > 0) factor = factor * norm.add(1e-6).reciprocal_().mul_(clip_norm).clamp_max_(1);
  gradient.mul_(factor);
  rows_.push_back(at::stack({values_[0] / weight, values_[2] / values_[3].clamp_min(1), norm}));
}

std::vector<DeviceSums::Row> DeviceSums::read() {
  if (rows_.empty()) return {};
  const at::Tensor host = at::stack(rows_).to(at::kCPU);
  rows_.clear();
  const auto values = host.accessor<double, 2>();
  std::vector<Row> rows;
  for (std::int64_t i = 0; i < values.size(0); ++i)
    rows.push_back({values[i][0], values[i][1], values[i][2]});
  return rows;
}

}  // namespace tessera
