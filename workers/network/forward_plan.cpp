#include "workers/network/forward_plan.h"

#include <algorithm>
#include <numeric>

#include "io/box.h"

namespace tessera {
namespace {

constexpr std::int64_t kAlignment = 4096;

class Planner {
 public:
  Planner(const UNetOptions& options, std::int64_t value_bytes)
      : options_(options), value_bytes_(value_bytes) {}

  ForwardPlan plan(std::int64_t height, std::int64_t width) {
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
    place_buffers();
    return plan_;
  }

 private:
  struct Place {
    int buffer;
    std::int64_t height, width, channels;
  };

  Place new_buffer(std::int64_t height, std::int64_t width, std::int64_t channels) {
    const auto now = static_cast<int>(plan_.steps.size());
    plan_.buffers.push_back({round_up(height * width * channels * value_bytes_, kAlignment), 0, now, now});
    return {static_cast<int>(plan_.buffers.size()) - 1, height, width, channels};
  }

  void step(ForwardStep::Kind kind, int layer, const Place& in, const Place& out) {
    const auto now = static_cast<int>(plan_.steps.size());
    for (const int buffer : {in.buffer, out.buffer}) {
      if (buffer >= 0) plan_.buffers[static_cast<std::size_t>(buffer)].last_step = now;
    }
    plan_.steps.push_back({kind, layer, in.buffer, out.buffer, in.height, in.width, in.channels, out.height,
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

  /// The largest buffers first, each at the lowest place where none that is alive with it lies.
  void place_buffers() {
    std::vector<int> order(plan_.buffers.size());
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
      plan_.bytes = std::max(plan_.bytes, offset + buffer(mine).bytes);
      placed.push_back(mine);
    }
  }

  ForwardPlan::Buffer& buffer(int index) { return plan_.buffers[static_cast<std::size_t>(index)]; }

  const UNetOptions& options_;
  std::int64_t value_bytes_;
  ForwardPlan plan_;
  Place at_{};
  int layer_ = 0;
};

}  // namespace

ForwardPlan plan_forward(const UNetOptions& options, std::int64_t height, std::int64_t width,
                         std::int64_t value_bytes) {
  return Planner(options, value_bytes).plan(height, width);
}

}  // namespace tessera
