// Times the scores of a section on a stack like the ISBI-2012 one: 30 sections of 512 x 512, cells of a
// synthetic tessellation, with blurred and noisy borders like a network's probability. Every rank takes a
// share.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <utility>

#include "io/base/clock.h"
#include "workers/metrics/threshold_scores.h"
#include "workers/mpi/mpi_session.h"

namespace {

using namespace tessera;

constexpr std::int64_t kSide = 512, kSections = 30;

struct Section {
  std::vector<std::uint8_t> truth;
  std::vector<float> probability;
};

/// Cells around random points, 4 to 6 pixels of membrane between them; the probability has
/// errors.
Section make_section(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::pair<double, double>> centres(180), seen;
  for (auto& [y, x] : centres) {
    y = static_cast<double>(random() % kSide);
    x = static_cast<double>(random() % kSide);
    seen.emplace_back(y + static_cast<double>(random() % 7) - 3, x + static_cast<double>(random() % 7) - 3);
  }
  Section section;
  const auto border = [](const auto& points, double y, double x) {
    double nearest = 1e9, second = 1e9;
    for (const auto& [v, u] : points) {
      const double distance = std::hypot(v - y, u - x);
      if (distance < nearest)
        second = std::exchange(nearest, distance);
      else
        second = std::min(second, distance);
    }
    return (second - nearest) / 2;
  };
  for (std::int64_t y = 0; y < kSide; ++y) {
    for (std::int64_t x = 0; x < kSide; ++x) {
      const auto v = static_cast<double>(y), u = static_cast<double>(x);
      section.truth.push_back(border(centres, v, u) > 2.5 ? 1 : 0);
      const double noise = static_cast<double>(random() % 1001) / 1000 - 0.5;
      section.probability.push_back(static_cast<float>(
          std::clamp(1 / (1 + std::exp(2.5 - border(seen, v, u))) + 0.3 * noise, 0.0, 1.0)));
    }
  }
  return section;
}

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  const Communicator world = mpi.world();
  std::vector<Section> sections;
  for (int z = world.rank(); z < kSections; z += world.size())
    sections.push_back(make_section(static_cast<unsigned>(z)));
  const std::vector<double> thresholds = accumulated_thresholds(11);
  struct Case {
    const char* name;
    ScoreChoice choice;
  };
  for (const auto& [name, choice] : {Case{"pixel error", {false, false, false, false}},
                                     Case{"Rand, V^Info, Rand over all pixels", {true, false, false, false}},
                                     Case{"V^Rand_thin and V^Info_thin", {false, true, false, false}},
                                     Case{"warping error, 10 thresholds", {false, false, true, false}},
                                     Case{"components as objects", {false, false, false, true}},
                                     Case{"all of them", ScoreChoice::all()}}) {
    world.barrier();
    const double begin = seconds_now();
    ThresholdSums sums;
    for (const Section& one : sections) {
      for (const auto& s : score_section<float>(one.probability, one.truth, kSide, kSide, thresholds, choice))
        sums += s;
    }
    world.barrier();
    if (world.is_root())
      fmt::print("{:<36} {:7.2f} s on {} ranks\n", name, seconds_now() - begin, world.size());
  }
  return EXIT_SUCCESS;
}
