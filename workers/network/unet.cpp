#include "workers/network/unet.h"

#include <fmt/format.h>

#include "io/base/error.h"

namespace tessera {
namespace {

/// Calls `f` with each integer option and its name in checkpoints: one list to store, load and compare.
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

/// Adds the layers of a U-Net to a description.
class UNetLayers {
 public:
  explicit UNetLayers(const UNetOptions& options)
      : options_(options), network_{.dimensions = 2, .in_channels = options.in_channels} {}

  NetworkDescription describe() {
    const bool at_every_level = options_.dropout_place == DropoutPlace::every_level;
    std::vector<int> skips;
    int x = 0;
    for (int level = 0; level <= options_.depth; ++level) {
      x = block(x, level);
      // The authors' network has dropout after the blocks of the two deepest levels, before pooling and crop.
      if (!at_every_level && level >= options_.depth - 1) x = network_.dropout(x, options_.dropout);
      if (level == options_.depth) break;
      skips.push_back(x);
      x = network_.max_pooling(x, {.kernel = kTwo, .stride = kTwo});
      if (at_every_level) x = network_.dropout(x, options_.dropout);
    }
    for (int level = options_.depth - 1; level >= 0; --level) {
      const Index3 kernel{1, options_.up_kernel, options_.up_kernel};
      x = network_.up_convolution(x, fmt::format("ups.{}", ups_++), options_.base_filters << level,
                                  {.kernel = kernel, .stride = kTwo});
      x = network_.crop_and_concatenation(skips[static_cast<std::size_t>(level)], x);
      if (at_every_level) x = network_.dropout(x, options_.dropout);
      x = block(x, level);
    }
    network_.convolution(x, "to_classes", options_.classes, {});
    return std::move(network_);
  }

 private:
  static constexpr Index3 kTwo{1, 2, 2}, kThree{1, 3, 3};

  int block(int x, int level) {
    const std::int64_t zeros = options_.padding == Padding::same ? 1 : 0;
    for (int c = 0; c < options_.block_convs; ++c, ++convolutions_) {
      x = network_.convolution(x, fmt::format("convs.{}", convolutions_), options_.base_filters << level,
                               {.kernel = kThree, .padding = {0, zeros, zeros}});
      if (options_.batch_norm) x = network_.batch_normalisation(x, fmt::format("norms.{}", convolutions_));
      x = network_.relu(x);
    }
    return x;
  }

  const UNetOptions& options_;
  NetworkDescription network_;
  int convolutions_ = 0, ups_ = 0;
};

}  // namespace

UNetOptions unet2015_options() {
  return {};
}

UNetOptions keras_same_options() {
  UNetOptions options;
  options.classes = 1;
  options.base_filters = 16;
  options.padding = Padding::same;
  options.batch_norm = true;
  options.up_kernel = 3;
  options.dropout = 0.1;
  options.dropout_place = DropoutPlace::every_level;
  return options;
}

UNetOptions::operator NetworkDescription() const {
  return describe_unet(*this);
}

NetworkDescription describe_unet(const UNetOptions& options) {
  NetworkDescription network = UNetLayers(options).describe();
  for_each_option(options, [&](const char* name, const auto& value) {
    network.options.counts[name] = static_cast<std::int64_t>(value);
  });
  network.options.numbers["dropout"] = options.dropout;
  return network;
}

NetworkDescription describe_stored_unet(const NetworkOptions& stored, const std::string& name) {
  UNetOptions options;
  for_each_option(options, [&]<class T>(const char* option, T& value) {
    const auto found = stored.counts.find(option);
    if (found == stored.counts.end())
      throw Error(fmt::format("{} does not contain its network's option {}", name, option));
    value = static_cast<T>(found->second);
  });
  const auto dropout = stored.numbers.find("dropout");
  if (dropout != stored.numbers.end()) options.dropout = dropout->second;
  const bool sane = options.in_channels > 0 && options.classes > 0 && options.base_filters > 0 &&
                    options.depth > 0 && options.depth <= 8 && options.block_convs > 0 &&
                    options.block_convs <= 8 && (options.up_kernel == 2 || options.up_kernel == 3) &&
                    options.base_filters <= 1024;
  if (!sane) throw Error(name + ": the options of its network are out of range");
  return describe_unet(options);
}

}  // namespace tessera
