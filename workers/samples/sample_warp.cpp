#include "workers/samples/sample_warp.h"

#include <algorithm>
#include <cmath>

#include "workers/numbers/cubic_kernel.h"

namespace tessera {
namespace {

using NodeWeights = std::array<double, kWarpNodes>;

/// The weight of each node of a side at a pixel.
NodeWeights node_weights(std::int64_t pixel, std::int64_t side) {
  const double last = static_cast<double>(kWarpNodes) - 1;
  const double place = side > 1 ? static_cast<double>(pixel) * last / static_cast<double>(side - 1) : 0;
  const double first = std::clamp(std::floor(place), 0.0, last - 1);
  const std::array<double, 4> cubic = cubic_weights(place - first);
  NodeWeights weights{};
  for (int i = 0; i < 4; ++i) {
    weights[static_cast<std::size_t>(std::clamp(first + i - 1, 0.0, last))] +=
        cubic[static_cast<std::size_t>(i)];
  }
  return weights;
}

}  // namespace

bool SampleWarp::is_identity() const {
  const auto still = [](const Place& p) { return p.y == 0 && p.x == 0; };
  return angle == 0 && scale == 1 && still(shift) && std::ranges::all_of(nodes, still) &&
         section_shifts.empty();
}

std::vector<std::array<double, kWarpNodes>> node_weights(std::int64_t side) {
  std::vector<NodeWeights> along;
  for (std::int64_t i = 0; i < side; ++i)
    along.push_back(node_weights(i, side));
  return along;
}

std::vector<Place> source_places(const SampleWarp& warp, std::int64_t input_side, std::int64_t begin,
                                 std::int64_t side) {
  const double cosine = std::cos(warp.angle) / warp.scale, sine = std::sin(warp.angle) / warp.scale;
  const double middle = static_cast<double>(input_side - 1) / 2;
  std::vector<NodeWeights> along;
  for (std::int64_t i = begin; i < begin + side; ++i)
    along.push_back(node_weights(i, input_side));
  std::vector<Place> places;
  places.reserve(static_cast<std::size_t>(side * side));
  for (std::size_t row = 0; row < along.size(); ++row) {
    std::array<Place, kWarpNodes> line{};
    for (std::size_t i = 0; i < kWarpNodes; ++i) {
      for (std::size_t j = 0; j < kWarpNodes; ++j) {
        line[j].y += along[row][i] * warp.nodes[i * kWarpNodes + j].y;
        line[j].x += along[row][i] * warp.nodes[i * kWarpNodes + j].x;
      }
    }
    const double v = static_cast<double>(begin) + static_cast<double>(row) - middle;
    for (std::size_t column = 0; column < along.size(); ++column) {
      const double u = static_cast<double>(begin) + static_cast<double>(column) - middle;
      // Content that is rotated counter-clockwise (y down) has its source rotated clockwise.
      Place place{middle + cosine * v + sine * u + warp.shift.y,
                  middle - sine * v + cosine * u + warp.shift.x};
      for (std::size_t j = 0; j < kWarpNodes; ++j) {
        place.y += along[column][j] * line[j].y;
        place.x += along[column][j] * line[j].x;
      }
      places.push_back(place);
    }
  }
  return places;
}

PixelBounds bounds_of(const std::vector<Place>& places, std::int64_t reach) {
  Place low{1e300, 1e300}, high{-1e300, -1e300};
  for (const Place& p : places) {
    low = {std::min(low.y, p.y), std::min(low.x, p.x)};
    high = {std::max(high.y, p.y), std::max(high.x, p.x)};
  }
  const auto whole = [](double value) { return static_cast<std::int64_t>(std::floor(value)); };
  return {whole(low.y) - reach, whole(low.x) - reach, whole(high.y) + reach + 1, whole(high.x) + reach + 1};
}

void sample_cubic(const float* image, const PixelBounds& bounds, const std::vector<Place>& places,
                  const std::array<std::int64_t, 2>& shift, float* result) {
  const std::int64_t width = bounds.width();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const double y = std::floor(places[i].y), x = std::floor(places[i].x);
    const std::array<double, 4> down = cubic_weights(places[i].y - y),
                                across = cubic_weights(places[i].x - x);
    const float* pixel = image + (static_cast<std::int64_t>(y) + shift[0] - 1 - bounds.y_begin) * width +
                         (static_cast<std::int64_t>(x) + shift[1] - 1 - bounds.x_begin);
    double sum = 0;
    for (std::size_t row = 0; row < 4; ++row, pixel += width) {
      sum +=
          down[row] * (across[0] * static_cast<double>(pixel[0]) + across[1] * static_cast<double>(pixel[1]) +
                       across[2] * static_cast<double>(pixel[2]) + across[3] * static_cast<double>(pixel[3]));
    }
    result[i] = static_cast<float>(sum);
  }
}

std::vector<std::size_t> nearest_pixels(const PixelBounds& bounds, const std::vector<Place>& places) {
  std::vector<std::size_t> pixels;
  pixels.reserve(places.size());
  for (const Place& p : places) {
    const auto y = static_cast<std::int64_t>(std::floor(p.y + 0.5)),
               x = static_cast<std::int64_t>(std::floor(p.x + 0.5));
    pixels.push_back(static_cast<std::size_t>((y - bounds.y_begin) * bounds.width() + x - bounds.x_begin));
  }
  return pixels;
}

}  // namespace tessera
