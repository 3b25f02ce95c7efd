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
#include "workers/train/gradient_reducer.h"
#include "workers/train/loss.h"
#include "workers/train/pixel_weights.h"

namespace tessera {
namespace {

/// The sums that travel with the gradients.
struct Sums {
  double loss = 0, weight = 0, wrong_pixels = 0, pixels = 0, samples = 0, signals = 0, times_up = 0,
         waited_s = 0, elapsed_s = 0;
  static constexpr std::size_t kCount = 9;
  std::span<double> values() { return {&loss, kCount}; }
};

}  // namespace

/// The network with its parameters, and their gradients, as views into flat tensors: one vector to reduce,
/// to step and to store.
struct Trainer::Model {
  std::shared_ptr<UNetImpl> network;
  at::Device device{at::kCPU};
  at::Tensor parameters, gradient;  ///< flat; the gradient ends with the batch statistics' sums
  at::Tensor statistics;            ///< flat; what the batch statistics were before this iteration
  std::vector<at::Tensor> statistics_buffers;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<float> class_weights;
  Sums sums;

  void flatten() {
    torch::NoGradGuard no_grad;
    std::int64_t count = 0;
    for (const auto& p : network->parameters())
      count += p.numel();
    for (const auto& item : network->named_buffers()) {
      if (item.value().is_floating_point()) statistics_buffers.push_back(item.value());
    }
    std::int64_t statistics_count = 0;
    for (const auto& b : statistics_buffers)
      statistics_count += b.numel();
    const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
    parameters = at::zeros({count}, options);
    statistics = at::zeros({statistics_count}, options);
    gradient = at::zeros({count + statistics_count}, options);
    std::int64_t at = 0;
    for (auto& p : network->parameters()) {
      const at::Tensor view = parameters.narrow(0, at, p.numel()).view(p.sizes());
      view.copy_(p);
      p.set_data(view);
      p.mutable_grad() = gradient.narrow(0, at, p.numel()).view(p.sizes());
      at += p.numel();
    }
  }

  at::Tensor parameter_gradient() const { return gradient.narrow(0, 0, parameters.numel()); }
  at::Tensor statistics_sum() const { return gradient.narrow(0, parameters.numel(), statistics.numel()); }

  void read_statistics(at::Tensor into) const {
    std::int64_t at = 0;
    for (const auto& b : statistics_buffers) {
      into.narrow(0, at, b.numel()).copy_(b.flatten());
      at += b.numel();
    }
  }
  void write_statistics(const at::Tensor& from) {
    std::int64_t at = 0;
    for (auto& b : statistics_buffers) {
      b.copy_(from.narrow(0, at, b.numel()).view(b.sizes()));
      at += b.numel();
    }
  }
};

Trainer::Trainer(std::shared_ptr<UNetImpl> network, const TrainingData& data, const TrainerOptions& options,
                 const Device& device, const Communicator& workers)
    : data_(data), options_(options), workers_(workers), model_(std::make_unique<Model>()) {
  normalisation_ = {data.mean(), data.std()};
  const NetworkGeometry geometry = geometry_of(network->options());
  const Index3 shape = data.raw_info().shape;
  const double output = static_cast<double>(geometry.output_side(options.tile_side));
  const double pixels = static_cast<double>(shape.y) * static_cast<double>(shape.x) *
                        static_cast<double>(data.options().sections.count());
  samples_per_epoch_ =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(pixels / (output * output))));

  model_->device =
      device.cuda ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device.index)) : at::Device(at::kCPU);
  network->to(model_->device);
  network->train();
  model_->network = std::move(network);
  model_->flatten();
  model_->optimizer = std::make_unique<Optimizer>(options.optimizer, model_->parameters);
  model_->class_weights = tessera::class_weights(data.class_counts(), options.class_balance);
  // This worker's samples: those of its place in every global batch.
  const std::int64_t batch = options.global_batch, place = workers.rank(), size = workers.size();
  const auto next = [this, batch, place, size](std::int64_t number) {
    const std::int64_t in_batch = (number - samples_seen_) % batch;
    return in_batch + size < batch ? number + size : number - in_batch + batch + place;
  };
  const std::int64_t own = std::max<std::int64_t>(0, (batch - place + size - 1) / size);
  const auto ahead = static_cast<std::size_t>(std::max<std::int64_t>(own, 2 * options.prefetch_threads));
  samples_ = std::make_unique<SamplePrefetcher>([this](std::int64_t number) { return prepare(number); }, next,
                                                own > 0 ? options.prefetch_threads : 0, ahead);
}

Trainer::~Trainer() = default;

const UNetImpl& Trainer::network() const {
  return *model_->network;
}
const std::vector<float>& Trainer::class_weights() const {
  return model_->class_weights;
}

PreparedSample Trainer::prepare(std::int64_t sample_number) const {
  const std::int64_t epoch = sample_number / samples_per_epoch_, index = sample_number % samples_per_epoch_;
  RandomStream random(options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index));
  const NetworkGeometry geometry = geometry_of(model_->network->options());
  const Index3 shape = data_.raw_info().shape;
  const Sections& sections = data_.options().sections;
  const std::int64_t output = geometry.output_side(options_.tile_side);
  const auto place = [&](std::int64_t side) {
    return random.integer(std::min<std::int64_t>(0, side - output), std::max<std::int64_t>(0, side - output));
  };
  const std::int64_t z = random.integer(sections.begin, sections.end - 1), y = place(shape.y),
                     x = place(shape.x);
  const SampleWarp warp = draw_warp(options_.augmentation, 2 * data_.options().context + 1, random);
  Sample sample =
      data_.cut(z, y, x, options_.tile_side, geometry, normalisation_.mean, normalisation_.std, warp);
  augment(sample, options_.augmentation, random);
  std::vector<float> weights = pixel_weights(sample.classes, model_->class_weights, sample.border);
  return {std::move(sample), std::move(weights), random.next()};
}

void Trainer::compute_sample(std::int64_t sample_number) {
  PreparedSample prepared = samples_->take(sample_number);
  Sample& sample = prepared.sample;
  const std::int64_t output = sample.output_side;
  const std::int64_t side = sample.input_side;
  const at::Tensor input = at::from_blob(sample.input.data(), {1, sample.channels, side, side}, at::kFloat)
                               .to(model_->device)
                               .contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor classes =
      at::from_blob(sample.classes.data(), {1, output, output}, at::kByte).to(model_->device).to(at::kLong);
  const at::Tensor weight =
      at::from_blob(prepared.weights.data(), {1, output, output}, at::kFloat).to(model_->device);

  // Dropout draws from LibTorch's generator: keyed like everything else.
  at::manual_seed(prepared.dropout_seed);
  model_->write_statistics(model_->statistics);
  const at::Tensor logits = model_->network->forward(input);
  const at::Tensor loss = energy_sum(logits, classes, weight, options_.dice_weight);
  loss.backward();

  torch::NoGradGuard no_grad;
  if (model_->statistics.numel() > 0) {
    at::Tensor after = at::empty_like(model_->statistics);
    model_->read_statistics(after);
    model_->statistics_sum().add_(after);
  }
  const at::Tensor answer = logits.size(1) == 1 ? logits.select(1, 0).gt(0).to(at::kLong) : logits.argmax(1);
  model_->sums.loss += loss.item<double>();
  model_->sums.weight += weight.sum(at::kDouble).item<double>();
  const at::Tensor judged = classes.ne(kIgnoredClass);
  model_->sums.wrong_pixels += (answer.ne(classes) & judged).sum().item<double>();
  model_->sums.pixels += judged.sum().item<double>();
  model_->sums.samples += 1;
}

TrainingStep Trainer::step(StopWish wish) {
  Model& model = *model_;
  const double begin_s = seconds_now(), waited_s = samples_->waited_s();
  model.gradient.zero_();
  model.sums = {};
  model.sums.signals = wish == StopWish::signal ? 1 : 0;
  model.sums.times_up = wish == StopWish::time_is_up ? 1 : 0;
  {
    torch::NoGradGuard no_grad;
    model.read_statistics(model.statistics);
  }
  for (std::int64_t s = workers_.rank(); s < options_.global_batch; s += workers_.size()) {
    compute_sample(samples_seen_ + s);
  }
  model.sums.waited_s = samples_->waited_s() - waited_s;
  model.sums.elapsed_s = seconds_now() - begin_s;

  torch::NoGradGuard no_grad;
  at::Tensor host = model.gradient.to(at::kCPU);
  GradientReducer(workers_).sum({host.data_ptr<float>(), static_cast<std::size_t>(host.numel())},
                                model.sums.values());
  if (!host.is_alias_of(model.gradient)) model.gradient.copy_(host);

  TrainingStep result;
  result.iteration = iteration_ + 1;
  result.epoch =
      static_cast<double>(samples_seen_ + options_.global_batch) / static_cast<double>(samples_per_epoch_);
  // A batch in which only classes without weight, or ignored pixels, occur teaches nothing and harms nothing.
  const double weight = std::max(model.sums.weight, 1e-12);
  result.loss = model.sums.loss / weight;
  result.pixel_error = model.sums.wrong_pixels / std::max(model.sums.pixels, 1.0);
  result.waiting_share = model.sums.waited_s / std::max(model.sums.elapsed_s, 1e-9);
  result.stop = model.sums.signals > 0    ? StopWish::signal
                : model.sums.times_up > 0 ? StopWish::time_is_up
                                          : StopWish::none;
  at::Tensor mean_gradient = model.parameter_gradient();
  mean_gradient.div_(weight);
  const bool finite = std::isfinite(result.loss) && mean_gradient.isfinite().all().item<bool>();
  if (!finite) {
    throw NonFiniteLoss(
        fmt::format("the loss or its gradient is not finite at iteration {}: lower train.learning_rate "
                    "(now {}), or look for damaged training data; the last checkpoint is from before",
                    result.iteration, options_.optimizer.learning_rate));
  }
  model.optimizer->step(model.parameters, mean_gradient, iteration_ + 1);
  if (model.statistics.numel() > 0) model.write_statistics(model.statistics_sum() / model.sums.samples);
  ++iteration_;
  samples_seen_ += options_.global_batch;
  return result;
}

void Trainer::store(Checkpoint& checkpoint) const {
  store_network(*model_->network, checkpoint);
  for (const auto& [name, tensor] : model_->optimizer->state()) {
    checkpoint.arrays["optimizer/" + name] = array_of(tensor);
  }
  checkpoint.counters["iteration"] = iteration_;
  checkpoint.counters["samples_seen"] = samples_seen_;
  checkpoint.numbers["normalisation"] = {normalisation_.mean, normalisation_.std};
}

void Trainer::restore(const Checkpoint& checkpoint, const std::string& name) {
  torch::NoGradGuard no_grad;
  const std::string difference =
      difference_between(model_->network->options(), load_network_options(checkpoint, name));
  if (!difference.empty()) throw UsageError(fmt::format("{} holds another network: {}", name, difference));
  const auto normalisation = checkpoint.numbers.find("normalisation");
  const auto iteration = checkpoint.counters.find("iteration");
  const auto samples_seen = checkpoint.counters.find("samples_seen");
  if (normalisation == checkpoint.numbers.end() || normalisation->second.size() != 2 ||
      iteration == checkpoint.counters.end() || samples_seen == checkpoint.counters.end()) {
    throw Error(name + " lacks the training's counters: it holds weights only");
  }
  samples_->drop();
  for (auto& item : model_->network->named_parameters()) {
    copy_array(checkpoint, "weights/" + item.key(), item.value(), name);
  }
  for (auto& item : model_->network->named_buffers())
    copy_array(checkpoint, "weights/" + item.key(), item.value(), name);
  for (auto& [key, tensor] : model_->optimizer->state())
    copy_array(checkpoint, "optimizer/" + key, tensor, name);
  normalisation_ = {normalisation->second[0], normalisation->second[1]};
  iteration_ = iteration->second;
  samples_seen_ = samples_seen->second;
}

}  // namespace tessera
