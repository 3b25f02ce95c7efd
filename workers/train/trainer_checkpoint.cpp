#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <string_view>

#include "io/base/error.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tensor_array.h"
#include "workers/train/trainer_model.h"

namespace tessera {
namespace {

constexpr std::string_view kOptimizer = "optimizer/";

/// Errors: UsageError when the checkpoint holds the state of another optimizer.
void require_same_optimizer(const Checkpoint& checkpoint, const Optimizer& optimizer,
                            const std::string& name) {
  std::set<std::string> stored, needed;
  for (const auto& [key, array] : checkpoint.arrays) {
    if (key.starts_with(kOptimizer))
      stored.insert(key.substr(kOptimizer.size(), key.find('/', kOptimizer.size()) - kOptimizer.size()));
  }
  for (const auto& [kind, vector] : optimizer.state())
    needed.insert(kind);
  if (stored == needed) return;
  const auto text = [](const std::set<std::string>& kinds) {
    return kinds.empty() ? std::string("none") : fmt::format("{}", fmt::join(kinds, ", "));
  };
  throw UsageError(
      fmt::format("{} holds the state of another optimizer ({}; here: {}): set train.optimizer and "
                  "train.momentum back, or start a new training under another name",
                  name, text(stored), text(needed)));
}

}  // namespace

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
  if (source_.data().scope() == NormalisationScope::volume)
    checkpoint.texts["normalisation"] = name_of(NormalisationScope::volume);
}

void Trainer::restore(const Checkpoint& checkpoint, const std::string& name) {
  torch::NoGradGuard no_grad;
  Network& network = model_->parameters.network();
  const std::string difference =
      difference_between(network.description(), load_description(checkpoint, name));
  if (!difference.empty())
    throw UsageError(
        fmt::format("{} holds another network ({}): {}. Set these keys of the section model back, or set "
                    "another experiment or run_folder for a new training",
                    name, age_text(checkpoint), difference));
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
                    name_of(by_volume ? NormalisationScope::volume : NormalisationScope::all)));
  }
  require_same_optimizer(checkpoint, model_->optimizer, name);
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
  model_->parameters.statistics_changed();
  model_->engine->parameters_changed();
  model_->sums.drop();
  unreported_.clear();
  source_.set_normalisation({normalisation->second[0], normalisation->second[1]});
  iteration_ = iteration->second;
  samples_seen_ = samples_seen->second;
}

}  // namespace tessera
