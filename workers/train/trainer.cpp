#include "workers/train/trainer.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "io/clock.h"
#include "io/error.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tensor_array.h"
#include "workers/network/unet.h"
#include "workers/train/flat_parameters.h"
#include "workers/train/gradient_engine.h"
#include "workers/train/gradient_reducer.h"
#include "workers/train/loss.h"
#include "workers/train/pixel_weights.h"

namespace tessera {

/// The sums that travel with the gradients.
struct Trainer::Sums {
  double loss = 0, weight = 0, wrong_pixels = 0, pixels = 0, samples = 0, signals = 0, times_up = 0,
         waited_s = 0, elapsed_s = 0;
  static constexpr std::size_t kCount = 9;
  std::span<double> values() { return {&loss, kCount}; }
};

/// The network as the iterations need it.
struct Trainer::Model {
  Model(std::shared_ptr<UNetImpl> network, const at::Device& device, const OptimizerOptions& options)
      : parameters(std::move(network), device),
        engine(make_autograd_engine(parameters)),
        optimizer(options, parameters.values()) {
    parameters.network().train();
  }

  FlatParameters parameters;
  std::unique_ptr<GradientEngine> engine;
  Optimizer optimizer;
};

Trainer::Trainer(std::shared_ptr<UNetImpl> network, const TrainingSet& data, const TrainerOptions& options,
                 const Device& device, const Communicator& workers)
    : options_(options),
      workers_(workers),
      source_(data, geometry_of(network->options()), options.samples),
      model_(std::make_unique<Model>(std::move(network),
                                     device.cuda
                                         ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device.index))
                                         : at::Device(at::kCPU),
                                     options.optimizer)) {
  // This worker's samples: those of its place in every global batch.
  const std::int64_t batch = options.global_batch, place = workers.rank(), size = workers.size();
  const auto next = [this, batch, place, size](std::int64_t number) {
    const std::int64_t in_batch = (number - samples_seen_) % batch;
    return in_batch + size < batch ? number + size : number - in_batch + batch + place;
  };
  const std::int64_t own = std::max<std::int64_t>(0, (batch - place + size - 1) / size);
  const auto ahead = static_cast<std::size_t>(std::max<std::int64_t>(own, 2 * options.prefetch_threads));
  prefetcher_ =
      std::make_unique<SamplePrefetcher>([this](std::int64_t number) { return source_.prepare(number); },
                                         next, own > 0 ? options.prefetch_threads : 0, ahead);
}

Trainer::~Trainer() = default;

const UNetImpl& Trainer::network() const {
  return model_->parameters.network();
}

void Trainer::compute_sample(std::int64_t sample_number, Sums& sums) {
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
  at::Tensor logits = model_->engine->forward(input, prepared.dropout_seed);
  logits.requires_grad_(true);
  const at::Tensor loss = energy_sum(logits, classes, weight, options_.dice_weight);
  loss.backward();
  model_->engine->backward(logits.grad(), {});

  torch::NoGradGuard no_grad;
  parameters.add_statistics();
  const at::Tensor answer = logits.size(1) == 1 ? logits.select(1, 0).gt(0).to(at::kLong) : logits.argmax(1);
  sums.loss += loss.item<double>();
  sums.weight += weight.sum(at::kDouble).item<double>();
  const at::Tensor judged = classes.ne(kIgnoredClass);
  sums.wrong_pixels += (answer.ne(classes) & judged).sum().item<double>();
  sums.pixels += judged.sum().item<double>();
  sums.samples += 1;
}

TrainingStep Trainer::step(StopWish wish) {
  FlatParameters& parameters = model_->parameters;
  const double begin_s = seconds_now(), waited_s = prefetcher_->waited_s();
  Sums sums;
  sums.signals = wish == StopWish::signal ? 1 : 0;
  sums.times_up = wish == StopWish::time_is_up ? 1 : 0;
  parameters.sums().zero_();
  parameters.keep_statistics();
  for (std::int64_t s = workers_.rank(); s < options_.global_batch; s += workers_.size()) {
    compute_sample(samples_seen_ + s, sums);
  }
  sums.waited_s = prefetcher_->waited_s() - waited_s;
  sums.elapsed_s = seconds_now() - begin_s;

  torch::NoGradGuard no_grad;
  at::Tensor host = parameters.sums().to(at::kCPU);
  GradientReducer(workers_).sum({host.data_ptr<float>(), static_cast<std::size_t>(host.numel())},
                                sums.values());
  if (!host.is_alias_of(parameters.sums())) parameters.sums().copy_(host);

  TrainingStep result;
  result.iteration = iteration_ + 1;
  result.epoch = static_cast<double>(samples_seen_ + options_.global_batch) /
                 static_cast<double>(source_.samples_per_epoch());
  // A batch in which only classes without weight, or ignored pixels, occur teaches nothing and harms nothing.
  const double weight = std::max(sums.weight, 1e-12);
  result.loss = sums.loss / weight;
  result.pixel_error = sums.wrong_pixels / std::max(sums.pixels, 1.0);
  result.waiting_share = sums.waited_s / std::max(sums.elapsed_s, 1e-9);
  result.stop = sums.signals > 0    ? StopWish::signal
                : sums.times_up > 0 ? StopWish::time_is_up
                                    : StopWish::none;
  at::Tensor mean_gradient = parameters.gradient();
  mean_gradient.div_(weight);
  const bool finite = std::isfinite(result.loss) && mean_gradient.isfinite().all().item<bool>();
  if (!finite) {
    throw NonFiniteLoss(
        fmt::format("the loss or its gradient is not finite at iteration {}: lower train.learning_rate "
                    "(now {}), or look for damaged training data; the last checkpoint is from before",
                    result.iteration, options_.optimizer.learning_rate));
  }
  model_->optimizer.step(parameters.values(), mean_gradient, iteration_ + 1);
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
    throw UsageError(fmt::format("{} was trained with data.normalisation: {}: set it so, or start a new training",
                                 name, by_volume ? "volume" : "all"));
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
  model_->engine->parameters_changed();
  source_.set_normalisation({normalisation->second[0], normalisation->second[1]});
  iteration_ = iteration->second;
  samples_seen_ = samples_seen->second;
}

}  // namespace tessera
