#include "workers/network/network_checkpoint.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <cstring>

#include "io/base/error.h"
#include "workers/network/tensor_array.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

constexpr const char* kPrefix = "network_";

/// Every whole-number option by its name: one list for storing, loading and comparing.
template <class Options, class Function>
void for_each_option(Options& o, Function&& f) {
  f("in_channels", o.in_channels);
  f("classes", o.classes);
  f("base_filters", o.base_filters);
  f("depth", o.depth);
  f("same_padding", o.padding);
  f("batch_norm", o.batch_norm);
  f("block_convs", o.block_convs);
  f("up_kernel", o.up_kernel);
  f("dropout_every_level", o.dropout_place);
}

}  // namespace

bool has_average(const Checkpoint& checkpoint) {
  const auto first = checkpoint.arrays.lower_bound(kAveragePrefix);
  return first != checkpoint.arrays.end() && first->first.rfind(kAveragePrefix, 0) == 0;
}

void store_network(const UNetImpl& network, Checkpoint& checkpoint) {
  for_each_option(network.options(), [&](const char* name, const auto& value) {
    checkpoint.counters[std::string(kPrefix) + name] = static_cast<std::int64_t>(value);
  });
  checkpoint.numbers["network_dropout"] = {network.options().dropout};
  for (const auto& item : network.named_parameters()) {
    checkpoint.arrays["weights/" + item.key()] = array_of(item.value());
  }
  for (const auto& item : network.named_buffers())
    checkpoint.arrays["weights/" + item.key()] = array_of(item.value());
}

UNetOptions load_network_options(const Checkpoint& checkpoint, const std::string& name) {
  UNetOptions options;
  for_each_option(options, [&]<class T>(const char* option, T& value) {
    const auto found = checkpoint.counters.find(std::string(kPrefix) + option);
    if (found == checkpoint.counters.end())
      throw Error(fmt::format("{} does not say its network's {}", name, option));
    value = static_cast<T>(found->second);
  });
  const auto dropout = checkpoint.numbers.find("network_dropout");
  if (dropout != checkpoint.numbers.end() && !dropout->second.empty()) options.dropout = dropout->second[0];
  const bool sane = options.in_channels > 0 && options.classes > 0 && options.base_filters > 0 &&
                    options.depth > 0 && options.depth <= 8 && options.block_convs > 0 &&
                    options.block_convs <= 8 && (options.up_kernel == 2 || options.up_kernel == 3) &&
                    options.base_filters <= 1024;
  if (!sane) throw Error(name + " describes no network that could exist");
  return options;
}

std::shared_ptr<UNetImpl> load_network(const Checkpoint& checkpoint, const std::string& name) {
  auto network = std::make_shared<UNetImpl>(load_network_options(checkpoint, name));
  torch::NoGradGuard no_grad;
  const std::string parameters = has_average(checkpoint) ? kAveragePrefix : "weights/";
  for (auto& item : network->named_parameters())
    copy_array(checkpoint, parameters + item.key(), item.value(), name);
  for (auto& item : network->named_buffers())
    copy_array(checkpoint, "weights/" + item.key(), item.value(), name);
  return network;
}

std::shared_ptr<UNetImpl> clone_network(const UNetImpl& network) {
  auto copy = std::make_shared<UNetImpl>(network.options());
  torch::NoGradGuard no_grad;
  const auto parameters = network.named_parameters();
  for (auto& item : copy->named_parameters())
    item.value().copy_(parameters[item.key()]);
  const auto buffers = network.named_buffers();
  for (auto& item : copy->named_buffers())
    item.value().copy_(buffers[item.key()]);
  return copy;
}

std::shared_ptr<UNetImpl> make_network(const UNetOptions& options, std::uint64_t seed) {
  UNet network(options);
  initialise_he(network, seed);
  return network.ptr();
}

std::string difference_between(const UNetOptions& here, const UNetOptions& there) {
  std::map<std::string, std::int64_t> values;
  for_each_option(
      here, [&](const char* name, const auto& value) { values[name] = static_cast<std::int64_t>(value); });
  std::string text;
  for_each_option(there, [&](const char* name, const auto& value) {
    const auto other = static_cast<std::int64_t>(value);
    if (values[name] == other) return;
    text += fmt::format("{}{} is {} here, {} there", text.empty() ? "" : "; ", name, values[name], other);
  });
  return text;
}

}  // namespace tessera
