// Times the weight map of a 512 x 512 section with 100 touching cells on one thread. With arguments
// `KIND OUT.bin DATASET...` (KIND: classes or instances) it writes the border part, w0 = 10 and sigma = 5, of
// every section of these volumes, float32, one after another.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include "io/base/clock.h"
#include "io/stores/open_volume.h"
#include "workers/samples/training_labels.h"

namespace {

using namespace tessera;

constexpr WeightMapOptions kPaper{10, 5};

/// `cells` discs around random points, about `share` of the area. A pixel belongs to the nearest point.
VoxelBuffer make_section(std::int64_t side, int cells, double share) {
  std::mt19937 random(1);
  std::vector<std::pair<double, double>> centres(static_cast<std::size_t>(cells));
  std::uniform_real_distribution<double> place(0, static_cast<double>(side));
  for (auto& [y, x] : centres)
    y = place(random), x = place(random);
  const double radius = static_cast<double>(side) * std::sqrt(share / (3.14159 * cells));
  VoxelBuffer labels(VoxelType::uint16, {1, side, side});
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      double nearest = radius;
      for (std::size_t c = 0; c < centres.size(); ++c) {
        const double distance =
            std::hypot(centres[c].first - static_cast<double>(y), centres[c].second - static_cast<double>(x));
        if (distance >= nearest) continue;
        nearest = distance;
        labels.as<std::uint16_t>()[static_cast<std::size_t>(y * side + x)] =
            static_cast<std::uint16_t>(c + 1);
      }
    }
  }
  return labels;
}

std::vector<float> weights_of(const VoxelBuffer& labels, LabelKind kind) {
  const LabelOptions options{2, kind, std::nullopt};
  const std::vector<std::uint8_t> classes = label_classes(labels, {{0, 0, 0}, labels.shape}, options, {});
  return label_border_weights(labels, classes, options, kPaper, 1);
}

void time_section(std::int64_t side, int cells, double share) {
  const VoxelBuffer labels = make_section(side, cells, share);
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double begin = seconds_now();
    if (weights_of(labels, LabelKind::instances).empty()) std::abort();
    least = std::min(least, seconds_now() - begin);
  }
  fmt::print("{:5} x {:<5} {:5} cells over {:3.0f} % of the area: {:7.4f} s\n", side, side, cells,
             100 * share, least);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 3) {
    const LabelKind kind = std::string(argv[1]) == "instances" ? LabelKind::instances : LabelKind::classes;
    std::ofstream out(argv[2], std::ios::binary);
    for (int i = 3; i < argc; ++i) {
      const auto volume = open_volume(parse_dataset_name(argv[i]));
      const std::vector<float> weights = weights_of(volume->read({{0, 0, 0}, volume->info().shape}), kind);
      out.write(reinterpret_cast<const char*>(weights.data()),
                static_cast<std::streamsize>(weights.size() * sizeof(float)));
    }
    return out.flush() ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  time_section(512, 100, 0.6);
  time_section(512, 2, 0.01);
  time_section(512, 1000, 0.6);
  time_section(2048, 1600, 0.6);
  time_section(2048, 2, 0.01);
  return EXIT_SUCCESS;
}
