#include "workers/train/trainer.h"

#include <ATen/DeviceGuard.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <span>
#include <utility>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/train/gradient_norm.h"
#include "workers/train/trainer_model.h"

namespace tessera {
namespace {

/// Beside the gradients, summed over the workers.
struct WorkerSums {
  double signals = 0, times_up = 0, saves = 0, left = 0, waited_s = 0, exchange_s = 0, elapsed_s = 0,
         elapsed_share = 0;
  static constexpr std::size_t kCount = 8;
  std::span<double> values() { return {&signals, kCount}; }
};

}  // namespace

Trainer::Trainer(std::shared_ptr<Network> network, const TrainingSet& data, const TrainerOptions& options,
                 const Device& device, const Communicator& workers)
    : options_(options),
      workers_(workers),
      source_(data, geometry_of(network->description()), options.samples) {
  // Before the first collective of the training, so that no worker waits for one that failed.
  on_every_rank(workers, [&] {
    model_ = translated_out_of_memory(
        [] {
          return std::string(
              "memory ran out for the network, its gradient and its optimizer: lower "
              "model.base_filters, or set train.samples_on: host");
        },
        [&] { return std::make_unique<Model>(std::move(network), source_, device, options); });
  });
  model_->connect(workers, options);
  // This worker's samples: its share of every global batch.
  const SampleRange own = samples_of(options.global_batch, workers.rank(), workers.size());
  const auto next = [this, own, batch = options.global_batch](std::int64_t number) {
    const std::int64_t in_batch = (number - samples_seen_) % batch;
    return in_batch + 1 < own.end ? number + 1 : number - in_batch + batch + own.begin;
  };
  const auto ahead =
      static_cast<std::size_t>(std::max<std::int64_t>(own.count(), 2 * options.prefetch_threads));
  const bool on_device = model_->sampler != nullptr;
  // Drawing alone takes too little time for a thread to pay, unless it searches for foreground.
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
  return model_->exchange->text();
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

void Trainer::require_finite(const TrainingStep& step) const {
  if (std::isfinite(step.loss) && std::isfinite(step.gradient_norm)) return;
  throw NonFiniteLoss(
      fmt::format("the loss or its gradient is not finite at iteration {}: lower train.learning_rate "
                  "(now {}), or look for damaged training data; the last checkpoint is from before",
                  step.iteration, options_.optimizer.learning_rate));
}

void Trainer::leave_when(std::function<bool()> must_leave) {
  between_ = {};
  if (must_leave) {
    between_ = [leave = std::move(must_leave)] {
      if (leave()) throw PassInterrupted();
    };
  }
  model_->engine->set_between_layers(between_);
}

IterationEnd Trainer::advance(const IterationRequest& request) {
  FlatParameters& parameters = model_->parameters;
  const at::OptionalDeviceGuard on_device(parameters.device());
  const double begin_s = seconds_now(), waited_s = prefetcher_->waited_s();
  parameters.sums().zero_();
  parameters.keep_statistics();
  model_->sums.clear();
  model_->exchange->begin(parameters.sums());
  const bool complete = compute_own_samples();

  const at::NoGradGuard no_grad;
  const double computed_s = seconds_now();
  model_->exchange->finish(model_->sums.values());
  WorkerSums worker;
  worker.signals = request.stop == StopWish::stop_early ? 1 : 0;
  worker.times_up = request.stop == StopWish::time_is_up ? 1 : 0;
  worker.saves = request.save ? 1 : 0;
  worker.left = complete ? 0 : 1;
  worker.elapsed_share = workers_.rank() == 0 ? request.elapsed_share : 0;
  worker.waited_s = prefetcher_->waited_s() - waited_s;
  worker.exchange_s = seconds_now() - computed_s;
  worker.elapsed_s = seconds_now() - begin_s;
  workers_.sum(worker.values());
  if (worker.left > 0) {
    parameters.drop_statistics();
    return {StopWish::stop_early, false, true};
  }

  TrainingStep step;
  step.iteration = iteration_ + 1;
  step.epoch = static_cast<double>(samples_seen_ + options_.global_batch) /
               static_cast<double>(source_.samples_per_epoch());
  step.waiting_share = worker.waited_s / std::max(worker.elapsed_s, 1e-9);
  step.exchange_share = worker.exchange_s / std::max(worker.elapsed_s, 1e-9);
  step.stop = worker.signals > 0    ? StopWish::stop_early
              : worker.times_up > 0 ? StopWish::time_is_up
                                    : StopWish::none;
  step.learning_rate = options_.optimizer.learning_rate *
                       (options_.scale_learning_rate ? static_cast<double>(options_.global_batch) : 1.0) *
                       learning_rate_factor(options_.schedule, iteration_ + 1, worker.elapsed_share);
  take_step(step);
  unreported_.push_back(step);
  return {step.stop, worker.saves > 0, false};
}

/// From the sums over all workers: the mean gradient, the optimizer's step and the new statistics. Errors:
/// NonFiniteLoss, before anything has changed, where the host reads each step.
void Trainer::take_step(TrainingStep& step) {
  FlatParameters& parameters = model_->parameters;
  at::Tensor gradient = parameters.gradient();
  model_->frozen.clear(gradient);
  model_->frozen.keep(parameters.values());
  if (model_->reads_each_step) {
    const StepSums::Means means = model_->sums.means();
    step.loss = means.loss;
    step.pixel_error = means.pixel_error;
    gradient.div_(means.weight);
    step.gradient_norm = gradient_norm(gradient);
    require_finite(step);
    const double factor = options_.clip_norm > 0 ? clip_factor(step.gradient_norm, options_.clip_norm) : 1;
    if (factor < 1) gradient.mul_(factor);
  } else {
    model_->sums.finish(gradient, options_.clip_norm);
  }
  model_->optimizer.step(parameters.values(), gradient, step.iteration, step.learning_rate);
  if (model_->average) model_->average->update(parameters.values(), step.iteration);
  // Weight decay moves a parameter without a gradient, and the average rounds.
  model_->frozen.put_back(parameters.values());
  if (model_->average) model_->frozen.put_back(model_->average->values());
  model_->engine->parameters_changed();
  parameters.set_statistics(static_cast<double>(options_.global_batch));
  iteration_ = step.iteration;
  samples_seen_ += options_.global_batch;
}

void Trainer::report(const std::function<void(const TrainingStep&)>& receive) {
  std::vector<TrainingStep> steps = std::exchange(unreported_, {});
  if (!model_->reads_each_step) {
    const std::vector<StepSums::Means> means = model_->sums.read();
    assert(means.size() == steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i].loss = means[i].loss;
      steps[i].pixel_error = means[i].pixel_error;
      steps[i].gradient_norm = means[i].gradient_norm;
    }
  }
  for (const TrainingStep& one : steps) {
    require_finite(one);
    receive(one);
  }
}

TrainingStep Trainer::step(StopWish wish, double elapsed_share) {
  assert(unreported_.empty());
  advance({.stop = wish, .elapsed_share = elapsed_share});
  TrainingStep result;
  report([&](const TrainingStep& step) { result = step; });
  return result;
}

}  // namespace tessera
