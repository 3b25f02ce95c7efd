#include "workers/network/ensemble_network.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace tessera {
namespace {

at::Tensor probabilities_of(const at::Tensor& outputs, Activation activation) {
  switch (activation) {
    case Activation::softmax:
      return at::softmax(outputs, 1);
    case Activation::sigmoid:
      return at::sigmoid(outputs);
    case Activation::none:
      break;
  }
  return outputs;
}

class EnsembleNetwork : public TileNetwork {
 public:
  explicit EnsembleNetwork(std::vector<EnsembleMember> members) : members_(std::move(members)) {}

  at::Tensor logits(const at::Tensor& input) override {
    const c10::InferenceMode inference;
    at::Tensor sum;
    for (EnsembleMember& member : members_) {
      member.network->set_between_layers(between_layers_);
      const bool as_it_is = member.scale == 1 && member.shift == 0;
      const at::Tensor own = as_it_is ? input : at::mul(input, member.scale).add_(member.shift);
      const at::Tensor probabilities = probabilities_of(member.network->logits(own), member.activation);
      sum = sum.defined() ? sum.add_(probabilities) : probabilities.clone();
    }
    return sum.div_(static_cast<double>(members_.size()));
  }

  std::string text() const override {
    return fmt::format("{} networks, {}", members_.size(), members_.front().network->text());
  }

  Invariance invariance() const override {
    const auto all = [&](bool Invariance::*property) {
      return std::ranges::all_of(
          members_, [&](const EnsembleMember& member) { return member.network->invariance().*property; });
    };
    return {all(&Invariance::translation), all(&Invariance::shape)};
  }

 private:
  std::vector<EnsembleMember> members_;
};

}  // namespace

std::unique_ptr<TileNetwork> make_ensemble(std::vector<EnsembleMember> members) {
  return std::make_unique<EnsembleNetwork>(std::move(members));
}

}  // namespace tessera
