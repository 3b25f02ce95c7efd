#include "workers/network/layer_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

#include "io/base/error.h"
#include "io/base/wildcard_pattern.h"

namespace tessera {
namespace {

constexpr const char* kEncoder = "encoder";

/// The layers that have parameters, ascending.
std::set<int> layers_with_parameters(const NetworkDescription& network) {
  std::set<int> layers;
  for (const TensorDescription& tensor : tensors_of(network)) {
    if (tensor.is_parameter()) layers.insert(tensor.layer);
  }
  return layers;
}

}  // namespace

std::vector<std::string> parameters_of_layers(const NetworkDescription& network,
                                              const std::vector<std::string>& patterns) {
  const std::set<int> all = layers_with_parameters(network);
  const auto name_of = [&](int layer) -> const std::string& {
    return network.layers.at(static_cast<std::size_t>(layer)).name;
  };
  const auto first_up =
      std::ranges::find(network.layers, LayerDescription::Kind::up_convolution, &LayerDescription::kind);
  const auto encoder_end =
      first_up == network.layers.end() ? 0 : static_cast<int>(first_up - network.layers.begin());
  std::set<int> chosen;
  for (const std::string& pattern : patterns) {
    std::optional<WildcardPattern> names;
    if (pattern != kEncoder) names.emplace(pattern);
    std::vector<int> matching;
    std::ranges::copy_if(all, std::back_inserter(matching), [&](int layer) {
      return names ? names->match(name_of(layer)).has_value() : layer < encoder_end;
    });
    if (matching.empty()) {
      std::vector<std::string> layers;
      layers.reserve(all.size());
      for (const int layer : all)
        layers.push_back(name_of(layer));
      throw UsageError(fmt::format("'{}' is no layer of this network: encoder, or wildcards for {}", pattern,
                                   fmt::join(layers, ", ")));
    }
    chosen.insert(matching.begin(), matching.end());
  }
  std::vector<std::string> parameters;
  for (const TensorDescription& tensor : tensors_of(network)) {
    if (tensor.is_parameter() && chosen.contains(tensor.layer)) parameters.push_back(tensor.name);
  }
  return parameters;
}

}  // namespace tessera
