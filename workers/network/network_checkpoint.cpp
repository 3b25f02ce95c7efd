#include "workers/network/network_checkpoint.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include "io/base/error.h"
#include "workers/network/network.h"
#include "workers/network/tensor_array.h"
#include "workers/network/unet.h"
#include "workers/network/window_network.h"

namespace tessera {
namespace {

constexpr const char* kPrefix = "network_";

/// The options of the network's description in a checkpoint.
NetworkOptions stored_options(const Checkpoint& checkpoint) {
  NetworkOptions options;
  const std::string prefix = kPrefix;
  for (auto it = checkpoint.counters.lower_bound(prefix);
       it != checkpoint.counters.end() && it->first.starts_with(prefix); ++it)
    options.counts[it->first.substr(prefix.size())] = it->second;
  for (auto it = checkpoint.numbers.lower_bound(prefix);
       it != checkpoint.numbers.end() && it->first.starts_with(prefix); ++it) {
    if (!it->second.empty()) options.numbers[it->first.substr(prefix.size())] = it->second.front();
  }
  return options;
}

}  // namespace

bool has_average(const Checkpoint& checkpoint) {
  const auto first = checkpoint.arrays.lower_bound(kAveragePrefix);
  return first != checkpoint.arrays.end() && first->first.rfind(kAveragePrefix, 0) == 0;
}

std::string age_text(const Checkpoint& checkpoint) {
  const auto iteration = checkpoint.counters.find("iteration");
  const auto written = checkpoint.texts.find(kWritten);
  std::string text;
  if (iteration != checkpoint.counters.end()) text = fmt::format("iteration {}", iteration->second);
  if (written != checkpoint.texts.end())
    text += fmt::format("{}written {}", text.empty() ? "" : ", ", written->second);
  return text;
}

void store_network(const Network& network, Checkpoint& checkpoint) {
  const NetworkOptions& options = network.description().options;
  for (const auto& [name, value] : options.counts)
    checkpoint.counters[kPrefix + name] = value;
  for (const auto& [name, value] : options.numbers)
    checkpoint.numbers[kPrefix + name] = {value};
  for (const auto& item : network.named_parameters()) {
    checkpoint.arrays["weights/" + item.key()] = array_of(item.value());
  }
  for (const auto& item : network.named_buffers())
    checkpoint.arrays["weights/" + item.key()] = array_of(item.value());
}

NetworkDescription load_description(const Checkpoint& checkpoint, const std::string& name) {
  const NetworkOptions options = stored_options(checkpoint);
  return is_stored_window_network(options) ? describe_stored_window_network(options, name)
                                           : describe_stored_unet(options, name);
}

std::shared_ptr<Network> load_network(const Checkpoint& checkpoint, const std::string& name) {
  auto network = std::make_shared<Network>(load_description(checkpoint, name));
  torch::NoGradGuard no_grad;
  const std::string parameters = has_average(checkpoint) ? kAveragePrefix : "weights/";
  for (auto& item : network->named_parameters())
    copy_array(checkpoint, parameters + item.key(), item.value(), name);
  for (auto& item : network->named_buffers())
    copy_array(checkpoint, "weights/" + item.key(), item.value(), name);
  return network;
}

std::shared_ptr<Network> clone_network(const Network& network) {
  auto copy = std::make_shared<Network>(network.description());
  torch::NoGradGuard no_grad;
  const auto parameters = network.named_parameters();
  for (auto& item : copy->named_parameters())
    item.value().copy_(parameters[item.key()]);
  const auto buffers = network.named_buffers();
  for (auto& item : copy->named_buffers())
    item.value().copy_(buffers[item.key()]);
  return copy;
}

std::shared_ptr<Network> make_network(const NetworkDescription& description, std::uint64_t seed) {
  auto network = std::make_shared<Network>(description);
  initialise_he(*network, seed);
  return network;
}

}  // namespace tessera
