#include "workers/samples/distance_transform.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "io/base/error.h"

namespace tessera {
namespace {

/// The distance where there is no such instance. Its square, and a sum of two squares, do not overflow.
constexpr std::int64_t kFar = std::int64_t{1} << 30;
constexpr std::int64_t kFarSquared = kFar * kFar;

/// The two nearest instances of a column on one side: their ids and the rows of their last pixels. The ids
/// differ; 0 stands for none.
struct Seen {
  std::int32_t id = 0, other_id = 0;
  std::int32_t row = 0, other_row = 0;

  void meet(std::int32_t instance, std::int32_t at) {
    if (instance == 0) return;
    if (instance != id) {
      other_id = id;
      other_row = row;
      id = instance;
    }
    row = at;
  }
};

/// The two nearest instances of a pixel within its column, with their squared distances.
struct Candidates {
  std::int32_t id = 0, other_id = 0;
  std::int64_t cost = kFarSquared, other_cost = kFarSquared;

  void offer(std::int32_t instance, std::int64_t distance) {
    if (instance == 0) return;
    const std::int64_t squared = distance * distance;
    if (instance == id) {
      cost = std::min(cost, squared);
    } else if (squared < cost) {
      other_id = id;
      other_cost = cost;
      id = instance;
      cost = squared;
    } else if (squared < other_cost) {
      other_id = instance;
      other_cost = squared;
    }
  }
  /// To the nearest instance that is not this one.
  std::int64_t cost_without(std::int32_t instance) const { return id == instance ? other_cost : cost; }
};

std::int64_t floor_divided(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return quotient * b > a ? quotient - 1 : quotient;
}

/// The lower envelope of parabolas over a row (Felzenszwalb and Huttenlocher 2012, in the integers of
/// Meijster et al. 2000): which column c minimises cost(c) + (x - c)^2, for a range of x.
class Envelope {
 public:
  explicit Envelope(std::int64_t width)
      : columns_(static_cast<std::size_t>(width)), costs_(columns_.size()), begins_(columns_.size()) {}

  /// Calls found(x, column, cost(column) + (x - column)^2) for x from `begin` to `end` - 1, with parabolas of
  /// the columns from `first` to `last`, both included; nothing where all of them are far.
  template <class Cost, class Found>
  void visit(std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end, const Cost& cost,
             const Found& found) {
    std::size_t count = 0;
    for (std::int64_t c = first; c <= last; ++c) {
      const std::int64_t height = cost(c);
      if (height >= kFarSquared) continue;
      std::int64_t from = begin;
      while (count > 0) {
        // From here on the new parabola is below the last one.
        const std::int64_t last_column = columns_[count - 1];
        const std::int64_t rise = c * c - last_column * last_column + height - costs_[count - 1];
        from = std::max(begin, 1 + floor_divided(rise, 2 * (c - last_column)));
        if (from > begins_[count - 1]) break;
        --count;
        from = begin;
      }
      if (from >= end) continue;
      columns_[count] = c;
      costs_[count] = height;
      begins_[count] = from;
      ++count;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t stop = i + 1 < count ? begins_[i + 1] : end;
      for (std::int64_t x = begins_[i]; x < stop; ++x) {
        found(x, columns_[i], costs_[i] + (x - columns_[i]) * (x - columns_[i]));
      }
    }
  }

 private:
  std::vector<std::int64_t> columns_, costs_, begins_;
};

/// The column that minimises cost(c) + (x - c)^2, searched from x outwards; -1 where all are far.
template <class Cost>
std::int64_t best_column(std::int64_t x, std::int64_t width, const Cost& cost) {
  std::int64_t best = -1, least = kFarSquared;
  for (std::int64_t reach = 0; reach * reach < least && (reach <= x || x + reach < width); ++reach) {
    for (const std::int64_t c : {x - reach, x + reach}) {
      if (c < 0 || c >= width) continue;
      const std::int64_t sum = cost(c) + reach * reach;
      if (sum < least) {
        least = sum;
        best = c;
      }
    }
  }
  return best;
}

/// Computes the distances of one row from the candidates of its columns.
class RowPass {
 public:
  explicit RowPass(std::int64_t width)
      : width_(width), envelope_(width), nearest_id_(static_cast<std::size_t>(width)) {}

  void run(const std::vector<Candidates>& row, float* nearest, float* second) {
    const auto at = [&row](std::int64_t c) -> const Candidates& { return row[static_cast<std::size_t>(c)]; };
    std::fill(nearest_id_.begin(), nearest_id_.end(), 0);
    envelope_.visit(
        0, width_ - 1, 0, width_, [&](std::int64_t c) { return at(c).cost; },
        [&](std::int64_t x, std::int64_t c, std::int64_t squared) {
          nearest_id_[static_cast<std::size_t>(x)] = at(c).id;
          nearest[x] = static_cast<float>(std::sqrt(static_cast<double>(squared)));
        });
    // In a run of pixels with the same nearest instance, the second is the nearest of all others. The best
    // column increases with x, so the best columns of the run's two ends bound it.
    for (std::int64_t begin = 0, end = 0; begin < width_; begin = end) {
      const std::int32_t id = nearest_id_[static_cast<std::size_t>(begin)];
      while (end < width_ && nearest_id_[static_cast<std::size_t>(end)] == id)
        ++end;
      if (id == 0) continue;  // the row's nearest is none: the section has no instance
      const auto cost = [&](std::int64_t c) { return at(c).cost_without(id); };
      const std::int64_t first = best_column(begin, width_, cost);
      if (first < 0) continue;
      envelope_.visit(first, best_column(end - 1, width_, cost), begin, end, cost,
                      [&](std::int64_t x, std::int64_t, std::int64_t squared) {
                        second[x] = static_cast<float>(std::sqrt(static_cast<double>(squared)));
                      });
    }
  }

 private:
  std::int64_t width_;
  Envelope envelope_;
  std::vector<std::int32_t> nearest_id_;
};

}  // namespace

InstanceDistances instance_distances(std::span<const std::int32_t> instances, std::int64_t height,
                                     std::int64_t width) {
  if (height >= kFar || width >= kFar)
    throw Error("a section with a side of 2^30 pixels or more has no distances");
  const auto pixels = static_cast<std::size_t>(height * width), columns = static_cast<std::size_t>(width);
  assert(instances.size() == pixels);
  InstanceDistances result;
  result.nearest.assign(pixels, std::numeric_limits<float>::infinity());
  result.second = result.nearest;

  // Each of the two nearest instances of a pixel is among the two nearest of its own column in that row. So
  // the columns come first, from above, then from below together with the rows.
  std::vector<Seen> above(pixels), state(columns);
  for (std::int64_t y = 0; y < height; ++y) {
    const auto row = static_cast<std::size_t>(y) * columns;
    for (std::size_t x = 0; x < columns; ++x) {
      state[x].meet(instances[row + x], static_cast<std::int32_t>(y));
      above[row + x] = state[x];
    }
  }
  std::fill(state.begin(), state.end(), Seen{});
  std::vector<Candidates> candidates(columns);
  RowPass pass(width);
  for (std::int64_t y = height - 1; y >= 0; --y) {
    const auto row = static_cast<std::size_t>(y) * columns;
    for (std::size_t x = 0; x < columns; ++x) {
      state[x].meet(instances[row + x], static_cast<std::int32_t>(y));
      Candidates& found = candidates[x] = {};
      for (const Seen& side : {above[row + x], state[x]}) {
        found.offer(side.id, std::abs(y - side.row));
        found.offer(side.other_id, std::abs(y - side.other_row));
      }
    }
    pass.run(candidates, result.nearest.data() + row, result.second.data() + row);
  }
  return result;
}

}  // namespace tessera
