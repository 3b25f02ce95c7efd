#include "workers/train/step_sums.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>

#include "workers/samples/pixel_weights.h"
#include "workers/train/gradient_norm.h"

namespace tessera {

StepSums::StepSums(const at::Device& device)
    : values_(at::zeros({4}, at::TensorOptions().dtype(at::kDouble).device(device))) {}

void StepSums::clear() {
  values_.zero_();
}

void StepSums::add(const at::Tensor& loss, const at::Tensor& weights, const at::Tensor& predicted,
                   const at::Tensor& classes) {
  const at::Tensor judged = classes.ne(kIgnoredClass);
  const at::Tensor samples =
      at::stack({loss.to(at::kDouble), weights.sum(at::kDouble),
                 (predicted.ne(classes) & judged).sum(at::kDouble), judged.sum(at::kDouble)});
  values_.add_(samples.to(values_.device()));
}

StepSums::Means StepSums::means() const {
  const at::Tensor host = values_.to(at::kCPU);
  const auto sums = host.accessor<double, 1>();
  const double weight = std::max(sums[1], kLeastWeight);
  return {weight, sums[0] / weight, sums[2] / sums[3], 0};
}

void StepSums::finish(at::Tensor& gradient, double clip_norm) {
  const at::Tensor weight = values_[1].clamp_min(kLeastWeight);
  const at::Tensor norm =
      at::linalg_vector_norm(gradient, 2, at::OptionalIntArrayRef{}, false, at::kDouble).div_(weight);
  at::Tensor factor = weight.reciprocal();
  // As clip_factor() does on the host.
  if (clip_norm > 0) factor = factor * norm.add(1e-6).reciprocal_().mul_(clip_norm).clamp_max_(1);
  gradient.mul_(factor);
  rows_.push_back(at::stack({values_[0] / weight, values_[2] / values_[3], norm}));
}

std::vector<StepSums::Means> StepSums::read() {
  if (rows_.empty()) return {};
  const at::Tensor host = at::stack(rows_).to(at::kCPU);
  rows_.clear();
  const auto values = host.accessor<double, 2>();
  std::vector<Means> steps;
  for (std::int64_t i = 0; i < values.size(0); ++i)
    steps.push_back({0, values[i][0], values[i][1], values[i][2]});
  return steps;
}

}  // namespace tessera
