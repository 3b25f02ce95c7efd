#include "workers/network/forward_plan.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <numeric>
#include <utility>

#include "io/geometry/box.h"

namespace tessera {
namespace {

constexpr std::int64_t kAlignment = 4096;

class Planner {
 public:
  Planner(const UNetOptions& options, std::int64_t value_bytes)
      : options_(options), value_bytes_(value_bytes) {}

  ForwardPlan plan(std::int64_t height, std::int64_t width) {
    plan_steps(height, width);
    place_buffers();
    return {std::move(steps_), std::move(buffers_), bytes_};
  }

  GradientPlan plan_with_gradient(std::int64_t height, std::int64_t width) {
    plan_steps(height, width);
    GradientPlan plan;
    plan.drop_after.assign(steps_.size(), false);
    if (options_.dropout > 0) {
      // The last convolutions of the two deepest levels of the contracting path.
      for (int level = std::max(0, options_.depth - 1); level <= options_.depth; ++level) {
        plan.drop_after[static_cast<std::size_t>((level + 1) * options_.block_convs + level - 1)] = true;
      }
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
    int buffer;
    std::int64_t height, width, channels;
  };

  void plan_steps(std::int64_t height, std::int64_t width) {
    at_ = {kInput, height, width, options_.in_channels};
    std::vector<Place> skips;
    for (int level = 0; level <= options_.depth; ++level) {
      convolutions(options_.base_filters << level);
      if (level == options_.depth) break;
      skips.push_back(at_);
      const Place pooled = new_buffer(at_.height / 2, at_.width / 2, at_.channels);
      step(ForwardStep::Kind::pooling, 0, at_, pooled);
      at_ = pooled;
    }
    for (int level = options_.depth - 1; level >= 0; --level) {
      const std::int64_t filters = options_.base_filters << level;
      const Place both = new_buffer(2 * at_.height, 2 * at_.width, 2 * filters);
      // The skip first: it is dead before the up-convolution's product is born.
      step(ForwardStep::Kind::crop, 0, skips[static_cast<std::size_t>(level)], both);
      const Place spread = new_buffer(at_.height, at_.width, 4 * filters);
      step(ForwardStep::Kind::spread, options_.depth - 1 - level, at_, spread);
      step(ForwardStep::Kind::shuffle, 0, spread, both);
      at_ = both;
      convolutions(filters);
    }
    step(ForwardStep::Kind::to_classes, 0, at_, {kOutput, at_.height, at_.width, options_.classes});
  }

  /// Steps are counted through both passes.
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
                      out.width, out.channels});
  }

  void convolutions(std::int64_t filters) {
    const std::int64_t lost = options_.padding == Padding::valid ? 2 : 0;
    for (int c = 0; c < options_.block_convs; ++c) {
      const Place out = new_buffer(at_.height - lost, at_.width - lost, filters);
      step(ForwardStep::Kind::convolution, layer_++, at_, out);
      at_ = out;
    }
  }

  /// The forward steps from the last to the first, each with the gradient that the later ones left.
  void plan_backward(GradientPlan& plan) {
    std::map<int, int> gradient_of{{kOutput, kOutput}};  // by the buffer of the image
    std::map<int, BackwardStep> cropped;                 // likewise, what `join` must know of the copy
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

  /// The largest buffers first, each at the lowest place where none that is alive with it lies.
  void place_buffers() {
    std::vector<int> order(buffers_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return buffer(a).bytes > buffer(b).bytes; });
    std::vector<int> placed;
    for (const int mine : order) {
      std::sort(placed.begin(), placed.end(),
                [&](int a, int b) { return buffer(a).offset < buffer(b).offset; });
      std::int64_t offset = 0;
      for (const int other : placed) {
        const bool together = buffer(other).first_step <= buffer(mine).last_step &&
                              buffer(mine).first_step <= buffer(other).last_step;
        if (!together || buffer(other).offset + buffer(other).bytes <= offset) continue;
        if (buffer(other).offset >= offset + buffer(mine).bytes) break;
        offset = buffer(other).offset + buffer(other).bytes;
      }
      buffer(mine).offset = offset;
      bytes_ = std::max(bytes_, offset + buffer(mine).bytes);
      placed.push_back(mine);
    }
  }

  PlannedBuffer& buffer(int index) { return buffers_[static_cast<std::size_t>(index)]; }

  const UNetOptions& options_;
  std::int64_t value_bytes_;
  std::vector<ForwardStep> steps_;
  std::vector<PlannedBuffer> buffers_;
  std::int64_t bytes_ = 0;
  Place at_{};
  int layer_ = 0;
  int backward_steps_ = 0;
};

}  // namespace

ForwardPlan plan_forward(const UNetOptions& options, std::int64_t height, std::int64_t width,
                         std::int64_t value_bytes) {
  return Planner(options, value_bytes).plan(height, width);
}

bool can_plan_gradient(const UNetOptions& options) {
  return !options.batch_norm && options.up_kernel == 2 &&
         (options.dropout == 0 || options.dropout_place == DropoutPlace::end_of_contraction);
}

GradientPlan plan_gradient(const UNetOptions& options, std::int64_t height, std::int64_t width,
                           std::int64_t value_bytes) {
  return Planner(options, value_bytes).plan_with_gradient(height, width);
}

}  // namespace tessera
