#include "workers/train/trainer.h"

#include <ATen/DeviceGuard.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <span>

#include "io/clock.h"
#include "io/error.h"
#include "workers/mpi/agree.h"
#include "workers/mpi/nccl_sum.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tensor_array.h"
#include "workers/network/unet.h"
#include "workers/train/flat_parameters.h"
#include "workers/train/gradient_engine.h"
#include "workers/train/gradient_norm.h"
#include "workers/train/gradient_reducer.h"
#include "workers/train/loss.h"
#include "workers/train/pixel_weights.h"
#include "workers/train/sample_tree.h"
#include "workers/train/weight_average.h"

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

at::Device torch_device(const Device& device) {
  return device.cuda ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device.index))
                     : at::Device(at::kCPU);
}

std::span<float> span_of(at::Tensor& vector) {
  return {vector.data_ptr<float>(), static_cast<std::size_t>(vector.numel())};
}

}  // namespace

/// The network as the iterations need it, and how its gradients are summed.
struct Trainer::Model {
  /// Of this worker alone: may fail on it alone.
  Model(std::shared_ptr<UNetImpl> network, const Device& device, const TrainerOptions& options)
      : parameters(std::move(network), torch_device(device)),
        engine(make_gradient_engine(parameters, options.precision)),
        optimizer(options.optimizer, parameters.values()) {
    if (options.average_decay > 0) average.emplace(options.average_decay, parameters.values());
    parameters.network().train();
  }

  /// Collective over the workers.
  void connect(const Communicator& workers, const TrainerOptions& options) {
    reducer.emplace(workers, GradientReducerOptions{.wire = options.wire});
    tree.emplace(workers, options.global_batch);
    const bool on_gpus = parameters.device().is_cuda() && workers.size() > 1;
    if (!on_gpus || options.reproducible || options.wire != Wire::float32 || !options.nccl) return;
    const at::OptionalDeviceGuard on_device(parameters.device());
    std::string reason;
    nccl = NcclSum::create(workers, "libnccl.so.2", reason);
    exchange = nccl ? "NCCL" : "MPI, through the host's memory, without NCCL: " + reason;
  }

  FlatParameters parameters;
  std::unique_ptr<GradientEngine> engine;
  Optimizer optimizer;
  std::optional<WeightAverage> average;
  std::optional<GradientReducer> reducer;
  std::optional<SampleTree> tree;
  std::unique_ptr<NcclSum> nccl;
  std::string exchange = "MPI";  ///< how gradients travel, in words
};

Trainer::Trainer(std::shared_ptr<UNetImpl> network, const TrainingSet& data, const TrainerOptions& options,
                 const Device& device, const Communicator& workers)
    : options_(options), workers_(workers), source_(data, geometry_of(network->options()), options.samples) {
  // Before anything collective, so that nobody waits for a worker that failed.
  on_every_rank(workers, [&] { model_ = std::make_unique<Model>(std::move(network), device, options); });
  model_->connect(workers, options);
  // This worker's samples: those of its place in every global batch.
  const SampleRange own = samples_of(options.global_batch, workers.rank(), workers.size());
  const auto next = [this, own, batch = options.global_batch](std::int64_t number) {
    const std::int64_t in_batch = (number - samples_seen_) % batch;
    return in_batch + 1 < own.end ? number + 1 : number - in_batch + batch + own.begin;
  };
  const auto ahead =
      static_cast<std::size_t>(std::max<std::int64_t>(own.count(), 2 * options.prefetch_threads));
  prefetcher_ =
      std::make_unique<SamplePrefetcher>([this](std::int64_t number) { return source_.prepare(number); },
                                         next, own.count() > 0 ? options.prefetch_threads : 0, ahead);
}

Trainer::~Trainer() = default;

const UNetImpl& Trainer::network() const {
  return model_->parameters.network();
}

std::string Trainer::engine_text() const {
  return model_->engine->text();
}

const std::string& Trainer::exchange_text() const {
  return model_->exchange;
}

std::shared_ptr<UNetImpl> Trainer::averaged_network() const {
  if (!model_->average) return nullptr;
  torch::NoGradGuard no_grad;
  std::shared_ptr<UNetImpl> copy = clone_network(network());
  auto named = copy->named_parameters();
  for (const auto& entry : model_->parameters.entries())
    named[entry.name].copy_(FlatParameters::piece(model_->average->values(), entry));
  return copy;
}

Trainer::SampleSums Trainer::compute_sample(std::int64_t sample_number, const GradientReady& ready) {
  PreparedSample prepared = prefetcher_->take(sample_number);
  Sample& sample = prepared.sample;
  FlatParameters& parameters = model_->parameters;
  const at::Device device = parameters.device();
  const std::int64_t output = sample.output_side;
  const std::int64_t side = sample.input_side;
  const at::Tensor input = at::from_blob(sample.input.data(), {1, sample.channels, side, side}, at::kFloat)
                               .to(device)
                               .contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor classes =
      at::from_blob(sample.classes.data(), {1, output, output}, at::kByte).to(device).to(at::kLong);
  const at::Tensor weight =
      at::from_blob(prepared.weights.data(), {1, output, output}, at::kFloat).to(device);

  parameters.restore_statistics();
  at::Tensor logits = model_->engine->forward(input, prepared.recipe.dropout_seed);
  logits.requires_grad_(true);
  const at::Tensor loss = energy_sum(logits, classes, weight, options_.dice_weight);
  loss.backward();
  // Sums first: the other workers wait for what is last.
  torch::NoGradGuard no_grad;
  SampleSums sums;
  const at::Tensor answer = logits.size(1) == 1 ? logits.select(1, 0).gt(0).to(at::kLong) : logits.argmax(1);
  sums.loss += loss.item<double>();
  sums.weight += weight.sum(at::kDouble).item<double>();
  const at::Tensor judged = classes.ne(kIgnoredClass);
  sums.wrong_pixels += (answer.ne(classes) & judged).sum().item<double>();
  sums.pixels += judged.sum().item<double>();
  sums.samples += 1;
  parameters.add_statistics();
  model_->engine->backward(logits.grad(), ready);
  return sums;
}

/// Gradients, batch statistics and `sums`, in place. Where they travel already, only the end is waited for.
void Trainer::sum_over_workers(SampleSums& sums, bool overlapped) {
  at::Tensor& vector = model_->parameters.sums();
  if (model_->nccl) {
    const at::OptionalDeviceGuard on_device(vector.device());
    model_->nccl->sum(vector.data_ptr<float>(), static_cast<std::size_t>(vector.numel()));
    workers_.sum(sums.values());
    return;
  }
  at::Tensor host = vector.to(at::kCPU);
  if (options_.reproducible) {
    model_->tree->sum(span_of(host), sums.values());
  } else {
    if (!overlapped) model_->reducer->begin(span_of(host));
    model_->reducer->ready(host.numel());
    model_->reducer->finish();
    workers_.sum(sums.values());
  }
  if (!host.is_alias_of(vector)) vector.copy_(host);
}

TrainingStep Trainer::step(StopWish wish, double elapsed_share) {
  FlatParameters& parameters = model_->parameters;
  GradientReducer& reducer = *model_->reducer;
  const double begin_s = seconds_now(), waited_s = prefetcher_->waited_s();
  SampleSums sums;
  WorkerSums worker;
  worker.signals = wish == StopWish::stop_early ? 1 : 0;
  worker.times_up = wish == StopWish::time_is_up ? 1 : 0;
  worker.elapsed_share = workers_.rank() == 0 ? elapsed_share : 0;
  parameters.sums().zero_();
  parameters.keep_statistics();
  // On the CPU the flat vector itself travels; from another device it does when all is computed.
  const bool overlapped = parameters.device().is_cpu() && !options_.reproducible;
  if (overlapped) reducer.begin(span_of(parameters.sums()));
  const SampleRange own = samples_of(options_.global_batch, workers_.rank(), workers_.size());
  for (std::int64_t s = own.begin; s < own.end; ++s) {
    GradientReady ready;
    if (overlapped && s + 1 == own.end) ready = [&](std::int64_t values) { reducer.ready(values); };
    SampleSums sample = compute_sample(samples_seen_ + s, ready);
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
  // A batch in which only classes without weight, or ignored pixels, occur teaches nothing and harms nothing.
  const double weight = std::max(sums.weight, 1e-12);
  result.loss = sums.loss / weight;
  result.pixel_error = sums.wrong_pixels / std::max(sums.pixels, 1.0);
  result.waiting_share = worker.waited_s / std::max(worker.elapsed_s, 1e-9);
  result.exchange_share = worker.exchange_s / std::max(worker.elapsed_s, 1e-9);
  result.stop = worker.signals > 0    ? StopWish::stop_early
                : worker.times_up > 0 ? StopWish::time_is_up
                                      : StopWish::none;
  at::Tensor mean_gradient = parameters.gradient();
  mean_gradient.div_(weight);
  result.gradient_norm = gradient_norm(mean_gradient);
  const bool finite = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  if (!finite) {
    throw NonFiniteLoss(
        fmt::format("the loss or its gradient is not finite at iteration {}: lower train.learning_rate "
                    "(now {}), or look for damaged training data; the last checkpoint is from before",
                    result.iteration, options_.optimizer.learning_rate));
  }
  const double shorter = options_.clip_norm > 0 ? clip_factor(result.gradient_norm, options_.clip_norm) : 1;
  if (shorter < 1) mean_gradient.mul_(shorter);
  result.learning_rate = options_.optimizer.learning_rate *
                         (options_.scale_learning_rate ? static_cast<double>(options_.global_batch) : 1.0) *
                         learning_rate_factor(options_.schedule, iteration_ + 1, worker.elapsed_share);
  model_->optimizer.step(parameters.values(), mean_gradient, iteration_ + 1, result.learning_rate);
  if (model_->average) model_->average->update(parameters.values(), iteration_ + 1);
  model_->engine->parameters_changed();
  parameters.set_statistics(sums.samples);
  ++iteration_;
  samples_seen_ += options_.global_batch;
  return result;
}

void Trainer::store(Checkpoint& checkpoint) const {
  const FlatParameters& parameters = model_->parameters;
  store_network(parameters.network(), checkpoint);
  for (const auto& [kind, vector] : model_->optimizer.state()) {
    for (const auto& entry : parameters.entries())
      checkpoint.arrays["optimizer/" + kind + "/" + entry.name] =
          array_of(FlatParameters::piece(vector, entry));
  }
  if (model_->average) {
    for (const auto& entry : parameters.entries())
      checkpoint.arrays[kAveragePrefix + entry.name] =
          array_of(FlatParameters::piece(model_->average->values(), entry));
  }
  checkpoint.counters["iteration"] = iteration_;
  checkpoint.counters["samples_seen"] = samples_seen_;
  checkpoint.numbers["normalisation"] = {source_.normalisation().mean, source_.normalisation().std};
  if (source_.data().scope() == NormalisationScope::volume) checkpoint.texts["normalisation"] = "volume";
}

void Trainer::restore(const Checkpoint& checkpoint, const std::string& name) {
  torch::NoGradGuard no_grad;
  UNetImpl& network = model_->parameters.network();
  const std::string difference =
      difference_between(network.options(), load_network_options(checkpoint, name));
  if (!difference.empty()) throw UsageError(fmt::format("{} holds another network: {}", name, difference));
  const auto normalisation = checkpoint.numbers.find("normalisation");
  const auto iteration = checkpoint.counters.find("iteration");
  const auto samples_seen = checkpoint.counters.find("samples_seen");
  if (normalisation == checkpoint.numbers.end() || normalisation->second.size() != 2 ||
      iteration == checkpoint.counters.end() || samples_seen == checkpoint.counters.end()) {
    throw Error(name + " lacks the training's counters: it holds weights only");
  }
  const bool by_volume = checkpoint.texts.contains("normalisation");
  if (by_volume != (source_.data().scope() == NormalisationScope::volume)) {
    throw UsageError(
        fmt::format("{} was trained with data.normalisation: {}: set it so, or start a new training", name,
                    by_volume ? "volume" : "all"));
  }
  prefetcher_->drop();
  for (auto& item : network.named_parameters()) {
    copy_array(checkpoint, "weights/" + item.key(), item.value(), name);
  }
  for (auto& item : network.named_buffers())
    copy_array(checkpoint, "weights/" + item.key(), item.value(), name);
  for (auto& [kind, vector] : model_->optimizer.state()) {
    for (const auto& entry : model_->parameters.entries()) {
      at::Tensor piece = FlatParameters::piece(vector, entry);
      copy_array(checkpoint, "optimizer/" + kind + "/" + entry.name, piece, name);
    }
  }
  if (model_->average) {
    const std::string from = has_average(checkpoint) ? kAveragePrefix : "weights/";
    for (const auto& entry : model_->parameters.entries()) {
      at::Tensor piece = FlatParameters::piece(model_->average->values(), entry);
      copy_array(checkpoint, from + entry.name, piece, name);
    }
  }
  model_->engine->parameters_changed();
  source_.set_normalisation({normalisation->second[0], normalisation->second[1]});
  iteration_ = iteration->second;
  samples_seen_ = samples_seen->second;
}

}  // namespace tessera
