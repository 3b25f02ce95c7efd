#include "workers/network/window_network.h"

#include <fmt/format.h>

#include <array>

#include "io/base/error.h"

namespace tessera {
namespace {

constexpr std::array<std::int64_t, 4> kKernels{4, 5, 4, 4};
constexpr std::int64_t kLastSide = 3;  // of the window after the last pooling

/// Calls `f` with each option and its name in checkpoints. No other family has an option "window_maps".
template <class Options, class Function>
void for_each_window_option(Options& o, Function&& f) {
  f("in_channels", o.in_channels);
  f("classes", o.classes);
  f("window_maps", o.maps);
  f("window_units", o.units);
}

Index3 plane(std::int64_t side) {
  return {1, side, side};
}

/// `dense`: at every pixel of an image.
NetworkDescription describe_stages(const WindowNetworkOptions& options, bool dense) {
  NetworkDescription network{.dimensions = 2, .in_channels = options.in_channels};
  int x = 0;
  std::int64_t dilation = 1;
  for (std::size_t stage = 0; stage < kKernels.size(); ++stage) {
    x = network.convolution(x, fmt::format("stages.{}", stage), options.maps,
                            {.kernel = plane(kKernels[stage]), .dilation = plane(dilation)});
    x = network.relu(x);
    x = network.max_pooling(
        x, {.kernel = plane(2), .stride = plane(dense ? 1 : 2), .dilation = plane(dilation)});
    if (dense) dilation *= 2;
  }
  x = network.convolution(x, "hidden", options.units,
                          {.kernel = plane(kLastSide), .dilation = plane(dilation)});
  x = network.relu(x);
  network.convolution(x, "to_classes", options.classes, {});
  for_each_window_option(options,
                         [&](const char* name, std::int64_t value) { network.options.counts[name] = value; });
  return network;
}

}  // namespace

NetworkDescription describe_window(const WindowNetworkOptions& options) {
  return describe_stages(options, false);
}

NetworkDescription describe_window_network(const WindowNetworkOptions& options) {
  return describe_stages(options, true);
}

bool is_stored_window_network(const NetworkOptions& stored) {
  return stored.counts.count("window_maps") > 0;
}

NetworkDescription describe_stored_window_network(const NetworkOptions& stored, const std::string& name) {
  constexpr std::int64_t kMost = 4096;
  WindowNetworkOptions options;
  for_each_window_option(options, [&](const char* option, std::int64_t& value) {
    const auto found = stored.counts.find(option);
    if (found == stored.counts.end())
      throw Error(fmt::format("{} does not contain its network's option {}", name, option));
    if (found->second < 1 || found->second > kMost)
      throw Error(name + ": the options of its network are out of range");
    value = found->second;
  });
  return describe_window_network(options);
}

}  // namespace tessera
