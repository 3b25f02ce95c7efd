#include <ATen/Functions.h>
#include <fmt/format.h>

#include <algorithm>

#include "workers/device/out_of_memory.h"
#include "workers/gradients/loss.h"
#include "workers/network/between_layers.h"
#include "workers/train/sample_tensors.h"
#include "workers/train/trainer_model.h"

namespace tessera {
namespace {

/// Runs the passes of `count` samples at once. An OutOfMemory names the settings to lower.
template <class Passes>
void with_advice(std::int64_t count, std::int64_t side, const Passes& passes) {
  try {
    named_out_of_memory(side, side, passes);
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(
        fmt::format("{}, {} at once: lower train.samples_at_once, train.tile or model.base_filters",
                    error.what(), count));
  }
}

}  // namespace

/// The network's output for some samples.
struct Trainer::Output {
  std::vector<PreparedSample> prepared;  ///< on the CPU the tensors share their memory
  SampleTensors samples;
  at::Tensor loss;       ///< sum over the samples, a scalar
  at::Tensor logits;     ///< with the gradient of the loss
  at::Tensor predicted;  ///< the predicted class of each pixel, (n, h, w) int64
};

Trainer::Output Trainer::forward(std::int64_t first, std::int64_t count) {
  Output output;
  std::vector<SampleRecipe> recipes;
  std::vector<std::uint64_t> dropout_seeds;
  for (std::int64_t i = 0; i < count; ++i) {
    output.prepared.push_back(prefetcher_->take(first + i, between_));
    recipes.push_back(output.prepared.back().recipe);
    dropout_seeds.push_back(recipes.back().dropout_seed);
  }
  output.samples = model_->sampler ? model_->sampler->make(recipes)
                                   : tensors_of(output.prepared, model_->parameters.device());
  model_->parameters.restore_statistics();
  output.logits = model_->engine->forward(output.samples.input, dropout_seeds);
  output.logits.requires_grad_(true);
  output.loss = loss_sum(output.logits, output.samples.classes, output.samples.weights, options_.dice_weight);
  output.loss.backward();
  const at::NoGradGuard no_grad;
  output.loss = output.loss.detach();
  output.predicted =
      output.logits.size(1) == 1 ? output.logits.select(1, 0).gt(0).to(at::kLong) : output.logits.argmax(1);
  return output;
}

/// Adds `count` samples, from number `first` of the training on, to the flat gradient and the sums.
void Trainer::compute_samples(std::int64_t first, std::int64_t count, const GradientReady& ready) {
  const Output output = forward(first, count);
  const at::NoGradGuard no_grad;
  // The backward pass comes last: while it runs, final gradients are sent.
  model_->sums.add(output.loss, output.samples.weights, output.predicted, output.samples.classes);
  model_->parameters.add_statistics();
  model_->engine->backward(output.logits.grad(), ready);
}

/// compute_samples(), unless this worker has to leave. Returns whether all was computed.
bool Trainer::compute_group(std::int64_t first, std::int64_t count, const GradientReady& ready) {
  try {
    if (between_) between_();
    with_advice(count, options_.samples.tile_side, [&] { compute_samples(first, count, ready); });
  } catch (const PassInterrupted&) {
    return false;
  }
  return true;
}

/// All samples of this worker in the coming iteration. Returns whether all were computed. The exchange of an
/// iteration that is left goes its usual way with incomplete sums, so that no worker waits for another.
bool Trainer::compute_own_samples() {
  GradientExchange& exchange = *model_->exchange;
  const SampleRange own = samples_of(options_.global_batch, workers_.rank(), workers_.size());
  bool complete = true;
  for (std::int64_t s = own.begin; s < own.end; s += model_->at_once) {
    const std::int64_t count = std::min(model_->at_once, own.end - s);
    GradientReady ready;
    if (s + count == own.end && exchange.sends_early())
      ready = [&](std::int64_t values) { exchange.ready(values); };
    complete = complete && compute_group(samples_seen_ + s, count, ready);
    exchange.end_samples(model_->sums.values());
  }
  return complete;
}

}  // namespace tessera
