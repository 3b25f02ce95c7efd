#include "workers/train/trainer.h"

#include <ATen/DeviceGuard.h>
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <torch/cuda.h>

#include <cassert>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/gradients/loss.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/cuda_aware.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/samples/pixel_weights.h"
#include "workers/train/gradient_norm.h"
#include "workers/train/trainer_model.h"

namespace tessera {

/// What is summed over the samples of a global batch, beside the gradients.
struct Trainer::SampleSums {
  double loss = 0, weight = 0, wrong_pixels = 0, pixels = 0, samples = 0;
  static constexpr std::size_t kCount = 5;
  std::span<double> values() { return {&loss, kCount}; }
  void add(SampleSums& other) {
    for (std::size_t i = 0; i < kCount; ++i)
      values()[i] += other.values()[i];
  }
};

namespace {

/// What is summed over the workers.
struct WorkerSums {
  double signals = 0, times_up = 0, waited_s = 0, exchange_s = 0, elapsed_s = 0, elapsed_share = 0;
  static constexpr std::size_t kCount = 6;
  std::span<double> values() { return {&signals, kCount}; }
};

/// Samples made on the host as tensors on the device: on the CPU in their own memory.
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

/// Runs the passes of so many samples; running out of memory names what to lower.
template <class Passes>
void with_memory_named(std::int64_t count, std::int64_t side, const Passes& passes) {
  struct {
    std::int64_t side;
    std::int64_t size(int /*axis*/) const { return side; }
  } const tile{side};
  try {
    named_out_of_memory(tile, passes);
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(
        fmt::format("{}, {} at once: lower train.samples_at_once, train.tile or model.base_filters",
                    error.what(), count));
  }
}

std::span<float> span_of(at::Tensor& vector) {
  return {vector.data_ptr<float>(), static_cast<std::size_t>(vector.numel())};
}

}  // namespace

Trainer::Trainer(std::shared_ptr<Network> network, const TrainingSet& data, const TrainerOptions& options,
                 const Device& device, const Communicator& workers)
    : options_(options),
      workers_(workers),
      source_(data, geometry_of(network->description()), options.samples) {
  // Before anything collective, so that nobody waits for a worker that failed.
  on_every_rank(workers,
                [&] { model_ = std::make_unique<Model>(std::move(network), source_, device, options); });
  model_->connect(workers, options);
  // This worker's samples: those of its place in every global batch.
  const SampleRange own = samples_of(options.global_batch, workers.rank(), workers.size());
  const auto next = [this, own, batch = options.global_batch](std::int64_t number) {
    const std::int64_t in_batch = (number - samples_seen_) % batch;
    return in_batch + 1 < own.end ? number + 1 : number - in_batch + batch + own.begin;
  };
  const auto ahead =
      static_cast<std::size_t>(std::max<std::int64_t>(own.count(), 2 * options.prefetch_threads));
  const bool on_device = model_->sampler != nullptr;
  // Drawing alone is too short to be worth a thread, unless it looks for foreground.
  const bool quick = on_device && options.samples.min_foreground == 0;
  prefetcher_ = std::make_unique<SamplePrefetcher>(
      [this, on_device](std::int64_t number) {
        return on_device ? PreparedSample{source_.recipe(number), {}, {}} : source_.prepare(number);
      },
      next, own.count() > 0 && !quick ? options.prefetch_threads : 0, ahead);
}

Trainer::~Trainer() = default;

const Network& Trainer::network() const {
  return model_->parameters.network();
}

std::string Trainer::engine_text() const {
  std::string text = model_->engine->text();
  if (model_->at_once > 1) text += fmt::format(", up to {} samples at once", model_->at_once);
  if (model_->sampler) text += ", samples made on the device";
  return text;
}

const std::string& Trainer::exchange_text() const {
  return model_->exchange;
}

std::shared_ptr<Network> Trainer::averaged_network() const {
  if (!model_->average) return nullptr;
  torch::NoGradGuard no_grad;
  std::shared_ptr<Network> copy = clone_network(network());
  auto named = copy->named_parameters();
  for (const auto& entry : model_->parameters.entries())
    named[entry.name].copy_(FlatParameters::piece(model_->average->values(), entry));
  return copy;
}

/// What the network answers to some samples.
struct Trainer::Answer {
  std::vector<PreparedSample> prepared;  ///< on the CPU the tensors lie in their memory
  SampleTensors samples;
  at::Tensor loss, logits;  ///< with the loss' gradient
  at::Tensor likeliest;     ///< class of each pixel
};

Trainer::Answer Trainer::forward(std::int64_t first, std::int64_t count) {
  Answer answer;
  std::vector<SampleRecipe> recipes;
  std::vector<std::uint64_t> dropout_seeds;
  for (std::int64_t i = 0; i < count; ++i) {
    answer.prepared.push_back(prefetcher_->take(first + i));
    recipes.push_back(answer.prepared.back().recipe);
    dropout_seeds.push_back(recipes.back().dropout_seed);
  }
  answer.samples = model_->sampler ? model_->sampler->make(recipes)
                                   : tensors_of(answer.prepared, model_->parameters.device());
  model_->parameters.restore_statistics();
  answer.logits = model_->engine->forward(answer.samples.input, dropout_seeds);
  answer.logits.requires_grad_(true);
  answer.loss =
      energy_sum(answer.logits, answer.samples.classes, answer.samples.weights, options_.dice_weight);
  answer.loss.backward();
  torch::NoGradGuard no_grad;
  answer.loss = answer.loss.detach();
  answer.likeliest =
      answer.logits.size(1) == 1 ? answer.logits.select(1, 0).gt(0).to(at::kLong) : answer.logits.argmax(1);
  return answer;
}

Trainer::SampleSums Trainer::compute_samples(std::int64_t first, std::int64_t count,
                                             const GradientReady& ready) {
  const Answer answer = forward(first, count);
  // Sums first: the other workers wait for what is last.
  torch::NoGradGuard no_grad;
  SampleSums sums;
  sums.loss = answer.loss.item<double>();
  sums.weight = answer.samples.weights.sum(at::kDouble).item<double>();
  const at::Tensor judged = answer.samples.classes.ne(kIgnoredClass);
  sums.wrong_pixels = (answer.likeliest.ne(answer.samples.classes) & judged).sum().item<double>();
  sums.pixels = judged.sum().item<double>();
  sums.samples = static_cast<double>(count);
  model_->parameters.add_statistics();
  model_->engine->backward(answer.logits.grad(), ready);
  return sums;
}

/// The same with the sums left on the device.
void Trainer::queue_samples(std::int64_t first, std::int64_t count, const GradientReady& ready) {
  const Answer answer = forward(first, count);
  torch::NoGradGuard no_grad;
  model_->sums->add(answer.loss, answer.samples.weights, answer.likeliest, answer.samples.classes);
  model_->parameters.add_statistics();
  model_->engine->backward(answer.logits.grad(), ready);
}

/// Gradients and batch statistics, in place, by MPI. Where they travel already, only the end is waited for.
void Trainer::sum_vector(bool overlapped) {
  at::Tensor& vector = model_->parameters.sums();
  if (model_->cuda_aware) {
    torch::cuda::synchronize(vector.device().index());
    sum_in_device_memory(workers_, vector.data_ptr<float>(), static_cast<std::size_t>(vector.numel()));
    return;
  }
  at::Tensor host = vector.to(at::kCPU);
  if (!overlapped) model_->reducer->begin(span_of(host));
  model_->reducer->ready(host.numel());
  model_->reducer->finish();
  if (!host.is_alias_of(vector)) vector.copy_(host);
}

/// Gradients, batch statistics and the sums, those on the device or `sums`, in place.
void Trainer::sum_over_workers(SampleSums& sums, bool overlapped) {
  if (options_.reproducible) {
    at::Tensor& vector = model_->parameters.sums();
    at::Tensor host = vector.to(at::kCPU);
    model_->tree->sum(span_of(host), sums.values());
    if (!host.is_alias_of(vector)) vector.copy_(host);
    return;
  }
  if (model_->nccl) {
    model_->nccl->finish(model_->sums->values());
    return;
  }
  if (workers_.size() == 1 && !overlapped) return;
  sum_vector(overlapped);
  if (!model_->sums) {
    workers_.sum(sums.values());
    return;
  }
  at::Tensor host = model_->sums->values().to(at::kCPU);
  workers_.sum(std::span<double>(host.data_ptr<double>(), static_cast<std::size_t>(host.numel())));
  if (!host.is_alias_of(model_->sums->values())) model_->sums->values().copy_(host);
}

void Trainer::require_finite(const TrainingStep& step) const {
  if (std::isfinite(step.loss) && std::isfinite(step.gradient_norm)) return;
  throw NonFiniteLoss(
      fmt::format("the loss or its gradient is not finite at iteration {}: lower train.learning_rate "
                  "(now {}), or look for damaged training data; the last checkpoint is from before",
                  step.iteration, options_.optimizer.learning_rate));
}

StopWish Trainer::advance(StopWish wish, double elapsed_share) {
  FlatParameters& parameters = model_->parameters;
  const at::OptionalDeviceGuard on_device(parameters.device());
  GradientReducer& reducer = *model_->reducer;
  const double begin_s = seconds_now(), waited_s = prefetcher_->waited_s();
  SampleSums sums;
  WorkerSums worker;
  worker.signals = wish == StopWish::stop_early ? 1 : 0;
  worker.times_up = wish == StopWish::time_is_up ? 1 : 0;
  worker.elapsed_share = workers_.rank() == 0 ? elapsed_share : 0;
  parameters.sums().zero_();
  parameters.keep_statistics();
  if (model_->sums) model_->sums->clear();
  // On the CPU the flat vector itself travels by MPI; from another device it does when all is computed.
  const bool overlapped = parameters.device().is_cpu() && !options_.reproducible && !model_->nccl;
  if (overlapped) reducer.begin(span_of(parameters.sums()));
  if (model_->nccl) model_->nccl->begin(parameters.sums());
  const SampleRange own = samples_of(options_.global_batch, workers_.rank(), workers_.size());
  for (std::int64_t s = own.begin; s < own.end; s += model_->at_once) {
    const std::int64_t count = std::min(model_->at_once, own.end - s);
    GradientReady ready;
    if (s + count == own.end && model_->nccl)
      ready = [&](std::int64_t values) { model_->nccl->ready(values); };
    else if (s + count == own.end && overlapped)
      ready = [&](std::int64_t values) { reducer.ready(values); };
    SampleSums sample;
    with_memory_named(count, options_.samples.tile_side, [&] {
      if (model_->sums) {
        queue_samples(samples_seen_ + s, count, ready);
      } else {
        sample = compute_samples(samples_seen_ + s, count, ready);
      }
    });
    if (options_.reproducible) {
      at::Tensor host = parameters.sums().to(at::kCPU);
      model_->tree->add(span_of(host), sample.values());
      parameters.sums().zero_();
    } else {
      sums.add(sample);
    }
  }
  worker.waited_s = prefetcher_->waited_s() - waited_s;

  torch::NoGradGuard no_grad;
  const double computed_s = seconds_now();
  sum_over_workers(sums, overlapped);
  worker.exchange_s = seconds_now() - computed_s;
  worker.elapsed_s = seconds_now() - begin_s;
  workers_.sum(worker.values());

  TrainingStep result;
  result.iteration = iteration_ + 1;
  result.epoch = static_cast<double>(samples_seen_ + options_.global_batch) /
                 static_cast<double>(source_.samples_per_epoch());
  result.waiting_share = worker.waited_s / std::max(worker.elapsed_s, 1e-9);
  result.exchange_share = worker.exchange_s / std::max(worker.elapsed_s, 1e-9);
  result.stop = worker.signals > 0    ? StopWish::stop_early
                : worker.times_up > 0 ? StopWish::time_is_up
                                      : StopWish::none;
  at::Tensor mean_gradient = parameters.gradient();
  if (model_->sums) {
    model_->sums->finish(mean_gradient, options_.clip_norm);
  } else {
    const double weight = std::max(sums.weight, kLeastWeight);
    result.loss = sums.loss / weight;
    result.pixel_error = sums.wrong_pixels / std::max(sums.pixels, 1.0);
    mean_gradient.div_(weight);
    result.gradient_norm = gradient_norm(mean_gradient);
    require_finite(result);
    const double shorter = options_.clip_norm > 0 ? clip_factor(result.gradient_norm, options_.clip_norm) : 1;
    if (shorter < 1) mean_gradient.mul_(shorter);
  }
  result.learning_rate = options_.optimizer.learning_rate *
                         (options_.scale_learning_rate ? static_cast<double>(options_.global_batch) : 1.0) *
                         learning_rate_factor(options_.schedule, iteration_ + 1, worker.elapsed_share);
  model_->optimizer.step(parameters.values(), mean_gradient, iteration_ + 1, result.learning_rate);
  if (model_->average) model_->average->update(parameters.values(), iteration_ + 1);
  model_->engine->parameters_changed();
  parameters.set_statistics(static_cast<double>(options_.global_batch));
  ++iteration_;
  samples_seen_ += options_.global_batch;
  unreported_.push_back(result);
  return result.stop;
}

void Trainer::report(const std::function<void(const TrainingStep&)>& hear) {
  std::vector<TrainingStep> steps = std::exchange(unreported_, {});
  if (model_->sums) {
    const std::vector<DeviceSums::Row> rows = model_->sums->read();
    assert(rows.size() == steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i].loss = rows[i].loss;
      steps[i].pixel_error = rows[i].pixel_error;
      steps[i].gradient_norm = rows[i].gradient_norm;
    }
  }
  for (const TrainingStep& one : steps) {
    require_finite(one);
    hear(one);
  }
}

TrainingStep Trainer::step(StopWish wish, double elapsed_share) {
  assert(unreported_.empty());
  advance(wish, elapsed_share);
  TrainingStep result;
  report([&](const TrainingStep& step) { result = step; });
  return result;
}

}  // namespace tessera
