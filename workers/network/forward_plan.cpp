#include "workers/network/forward_plan.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <numeric>
#include <utility>

#include "io/geometry/box.h"

namespace tessera {
namespace {

using Kind = LayerDescription::Kind;

constexpr std::int64_t kAlignment = 4096;

class Planner {
 public:
  Planner(const NetworkDescription& network, std::int64_t value_bytes)
      : network_(network), value_bytes_(value_bytes) {}

  ForwardPlan plan(std::int64_t height, std::int64_t width) {
    plan_steps(height, width);
    place_buffers();
    return {std::move(steps_), std::move(buffers_), bytes_};
  }

  GradientPlan plan_with_gradient(std::int64_t height, std::int64_t width) {
    plan_steps(height, width);
    GradientPlan plan;
    plan.drop_after.assign(steps_.size(), false);
    for (const auto& [step, probability] : dropouts_) {
      plan.drop_after[step] = true;
      plan.dropout = probability;
    }
    plan_backward(plan);
    place_buffers();
    plan.forward = std::move(steps_);
    plan.buffers = std::move(buffers_);
    plan.bytes = bytes_;
    return plan;
  }

 private:
  struct Place {
    int buffer = 0;
    std::int64_t height = 0, width = 0, channels = 0;
  };

  void plan_steps(std::int64_t height, std::int64_t width) {
    shapes_ = value_shapes(network_, {1, height, width});
    places_.assign(shapes_.size(), {});
    places_[0] = {kInput, height, width, network_.in_channels};
    for (std::size_t i = 0; i < network_.layers.size(); ++i)
      plan_layer(static_cast<int>(i));
  }

  void plan_layer(int number) {
    const LayerDescription& layer = network_.layers[static_cast<std::size_t>(number)];
    const int output = number + 1;
    const Place& in = place(layer.inputs.front());
    switch (layer.kind) {
      case Kind::convolution: {
        const bool last = static_cast<std::size_t>(output) == network_.layers.size();
        place(output) = last ? place_of(kOutput, output) : new_buffer_for(output);
        step(last ? ForwardStep::Kind::to_classes : ForwardStep::Kind::convolution, number, in,
             place(output));
        steps_.back().padding = layer.window.padding.y;
        return;
      }
      case Kind::max_pooling:
        place(output) = new_buffer_for(output);
        return step(ForwardStep::Kind::pooling, number, in, place(output));
      case Kind::up_convolution: {
        const int join = network_.readers_of(output).front();
        const Place both = place(join + 1) = new_buffer_for(join + 1);
        // The crop comes first: its input is dead before the up-convolution's product needs a buffer.
        step(ForwardStep::Kind::crop, join, place(network_.layers[static_cast<std::size_t>(join)].inputs[0]),
             both);
        const Place spread = new_buffer(in.height, in.width, 4 * layer.out_channels);
        step(ForwardStep::Kind::spread, number, in, spread);
        return step(ForwardStep::Kind::shuffle, number, spread, both);
      }
      case Kind::crop_and_concatenation:
        return;  // the steps of the up-convolution write it
      case Kind::dropout:
        dropouts_[steps_.size() - 1] = layer.dropout;
        [[fallthrough]];
      case Kind::batch_normalisation:
      case Kind::relu:
        place(output) = in;  // part of the previous step
        return;
    }
  }

  Place& place(int value) { return places_[static_cast<std::size_t>(value)]; }
  Place place_of(int buffer, int value) const {
    const Index3& shape = shapes_[static_cast<std::size_t>(value)];
    return {buffer, shape.y, shape.x, network_.channels_of(value)};
  }
  Place new_buffer_for(int value) {
    const Place wanted = place_of(0, value);
    return new_buffer(wanted.height, wanted.width, wanted.channels);
  }

  /// Index of the current step. The backward pass continues the count of the forward pass.
  int now() const { return static_cast<int>(steps_.size()) + backward_steps_; }

  Place new_buffer(std::int64_t height, std::int64_t width, std::int64_t channels) {
    buffers_.push_back({round_up(height * width * channels * value_bytes_, kAlignment), 0, now(), now()});
    return {static_cast<int>(buffers_.size()) - 1, height, width, channels};
  }

  void touch(std::initializer_list<int> used) {
    for (const int index : used) {
      if (index >= 0) buffer(index).last_step = now();
    }
  }

  void step(ForwardStep::Kind kind, int layer, const Place& in, const Place& out) {
    touch({in.buffer, out.buffer});
    steps_.push_back({kind, layer, in.buffer, out.buffer, in.height, in.width, in.channels, out.height,
                      out.width, out.channels, 0});
  }

  /// Plans the backward steps, from the last forward step to the first. Each reads the gradient that later
  /// steps wrote.
  void plan_backward(GradientPlan& plan) {
    std::map<int, int> gradient_of{{kOutput, kOutput}};  // key: buffer of the image
    std::map<int, BackwardStep> cropped;                 // same key: the copied part, for `join`
    std::map<int, bool> rectified, dropped;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (plan.drop_after[i]) dropped[steps_[i].out] = true;
    }
    for (auto forward = steps_.rbegin(); forward != steps_.rend(); ++forward) {
      BackwardStep back;
      back.forward = *forward;
      if (forward->kind == ForwardStep::Kind::crop) {
        back.crop_gradient = gradient_of.at(forward->out);
        back.crop_height = forward->out_height;
        back.crop_width = forward->out_width;
        cropped[forward->in] = back;
        continue;
      }
      back.output_gradient = gradient_of.at(forward->out);
      back.dropped = dropped[forward->kind == ForwardStep::Kind::pooling ? forward->in : forward->out];
      switch (forward->kind) {
        case ForwardStep::Kind::to_classes:
          back.kind = BackwardStep::Kind::to_classes;
          break;
        case ForwardStep::Kind::convolution:
          back.kind = BackwardStep::Kind::convolution;
          back.rectify = !rectified[forward->out];
          break;
        case ForwardStep::Kind::spread:
          back.kind = BackwardStep::Kind::spread;
          break;
        case ForwardStep::Kind::shuffle:
          back.kind = BackwardStep::Kind::gather;
          break;
        case ForwardStep::Kind::pooling: {
          const BackwardStep& copy = cropped.at(forward->in);
          back.kind = BackwardStep::Kind::join;
          back.crop_gradient = copy.crop_gradient;
          back.crop_height = copy.crop_height;
          back.crop_width = copy.crop_width;
          rectified[forward->in] = true;
          break;
        }
        case ForwardStep::Kind::crop:
          break;
      }
      if (forward->in != kInput) {
        back.input_gradient = new_buffer(forward->in_height, forward->in_width, forward->in_channels).buffer;
        gradient_of[forward->in] = back.input_gradient;
      }
      touch({back.output_gradient, back.input_gradient});
      if (back.kind != BackwardStep::Kind::gather) touch({forward->in});
      if (back.rectify) touch({forward->out});
      if (back.kind == BackwardStep::Kind::join) touch({forward->out, back.crop_gradient});
      plan.backward.push_back(back);
      ++backward_steps_;
    }
  }

  /// Places the buffers, from the largest to the smallest. Each buffer gets the lowest offset at which it
  /// overlaps no buffer that is alive at the same time.
  void place_buffers() {
    std::vector<int> order(buffers_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return buffer(a).bytes > buffer(b).bytes; });
    std::vector<int> placed;
    for (const int current : order) {
      std::sort(placed.begin(), placed.end(),
                [&](int a, int b) { return buffer(a).offset < buffer(b).offset; });
      std::int64_t offset = 0;
      for (const int other : placed) {
        const bool alive_together = buffer(other).first_step <= buffer(current).last_step &&
                                    buffer(current).first_step <= buffer(other).last_step;
        if (!alive_together || buffer(other).offset + buffer(other).bytes <= offset) continue;
        if (buffer(other).offset >= offset + buffer(current).bytes) break;
        offset = buffer(other).offset + buffer(other).bytes;
      }
      buffer(current).offset = offset;
      bytes_ = std::max(bytes_, offset + buffer(current).bytes);
      placed.push_back(current);
    }
  }

  PlannedBuffer& buffer(int index) { return buffers_[static_cast<std::size_t>(index)]; }

  const NetworkDescription& network_;
  std::int64_t value_bytes_;
  std::vector<Index3> shapes_;              ///< by value
  std::vector<Place> places_;               ///< by value
  std::map<std::size_t, double> dropouts_;  ///< probability, by the step whose output is dropped
  std::vector<ForwardStep> steps_;
  std::vector<PlannedBuffer> buffers_;
  std::int64_t bytes_ = 0;
  int backward_steps_ = 0;
};

/// Checks whether the plans support the layers of a network.
class PlannableLayers {
 public:
  explicit PlannableLayers(const NetworkDescription& network) : network_(network) {}

  bool all() const {
    if (network_.dimensions != 2 || network_.layers.empty()) return false;
    const LayerDescription& last = network_.layers.back();
    if (last.kind != Kind::convolution || !is_window(last, 1, 1, 0)) return false;
    for (std::size_t i = 0; i + 1 < network_.layers.size(); ++i) {
      if (!is_plannable(static_cast<int>(i))) return false;
    }
    return true;
  }

  /// The same check for plans with a backward pass.
  bool all_with_gradient() const {
    if (!all()) return false;
    double dropout = 0;
    for (const LayerDescription& layer : network_.layers) {
      const LayerDescription* before = maker_of(layer.inputs.front());
      if (layer.kind == Kind::batch_normalisation) return false;
      if (layer.kind == Kind::up_convolution && layer.window.kernel.y != 2) return false;
      if (layer.kind == Kind::max_pooling && !is_copied(layer.inputs.front())) return false;
      if (layer.kind != Kind::dropout) continue;
      const bool another = dropout > 0 && layer.dropout != dropout;
      if (another || before == nullptr || before->kind != Kind::relu) return false;
      dropout = layer.dropout;
    }
    return true;
  }

 private:
  static bool is_window(const LayerDescription& layer, std::int64_t kernel, std::int64_t stride,
                        std::int64_t padding) {
    const Window& window = layer.window;
    return window.kernel == Index3{1, kernel, kernel} && window.stride == Index3{1, stride, stride} &&
           window.padding == Index3{0, padding, padding} && window.dilation == Index3{1, 1, 1};
  }

  /// The layer that computes a value. Null for the network's input.
  const LayerDescription* maker_of(int value) const {
    return value == 0 ? nullptr : &network_.layers[static_cast<std::size_t>(value - 1)];
  }
  bool is_made_by(int value, std::initializer_list<Kind> kinds) const {
    const LayerDescription* maker = maker_of(value);
    return maker != nullptr && std::find(kinds.begin(), kinds.end(), maker->kind) != kinds.end();
  }

  bool is_read_once_by(int value, std::initializer_list<Kind> kinds) const {
    const std::vector<int> readers = network_.readers_of(value);
    if (readers.size() != 1) return false;
    const Kind kind = network_.layers[static_cast<std::size_t>(readers.front())].kind;
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  }

  bool is_copied(int value) const {
    return std::ranges::any_of(network_.layers, [&](const LayerDescription& layer) {
      return layer.kind == Kind::crop_and_concatenation && layer.inputs[0] == value;
    });
  }

  bool is_plannable(int number) const {
    const LayerDescription& layer = network_.layers[static_cast<std::size_t>(number)];
    const int read = layer.inputs.front(), output = number + 1;
    switch (layer.kind) {
      case Kind::convolution:
        return (is_window(layer, 3, 1, 0) || is_window(layer, 3, 1, 1)) &&
               is_read_once_by(output, {Kind::batch_normalisation, Kind::relu});
      case Kind::batch_normalisation:
        return is_made_by(read, {Kind::convolution}) && is_read_once_by(output, {Kind::relu});
      case Kind::relu:
        return is_made_by(read, {Kind::convolution, Kind::batch_normalisation});
      case Kind::max_pooling:
        return is_window(layer, 2, 2, 0);
      case Kind::up_convolution:
        return (is_window(layer, 2, 2, 0) || is_window(layer, 3, 2, 0)) &&
               is_read_once_by(output, {Kind::crop_and_concatenation});
      case Kind::crop_and_concatenation:
        return layer.inputs[0] < layer.inputs[1] && is_made_by(layer.inputs[1], {Kind::up_convolution}) &&
               network_.channels_of(layer.inputs[0]) == network_.channels_of(layer.inputs[1]);
      case Kind::dropout:
        return read > 0 && network_.readers_of(read).size() == 1;
    }
    return false;
  }

  const NetworkDescription& network_;
};

}  // namespace

bool can_plan_forward(const NetworkDescription& network) {
  return PlannableLayers(network).all();
}

ForwardPlan plan_forward(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                         std::int64_t value_bytes) {
  return Planner(network, value_bytes).plan(height, width);
}

bool can_plan_gradient(const NetworkDescription& network) {
  return PlannableLayers(network).all_with_gradient();
}

GradientPlan plan_gradient(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                           std::int64_t value_bytes) {
  return Planner(network, value_bytes).plan_with_gradient(height, width);
}

}  // namespace tessera
