#include "workers/train/sample_source.h"

#include <algorithm>
#include <cmath>

#include "workers/train/pixel_weights.h"
#include "workers/train/random_stream.h"

namespace tessera {

SampleSource::SampleSource(const TrainingData& data, const NetworkGeometry& geometry,
                           const SampleOptions& options)
    : data_(data),
      geometry_(geometry),
      options_(options),
      normalisation_{data.mean(), data.std()},
      class_weights_(tessera::class_weights(data.class_counts(), options.class_balance)) {
  const Index3 shape = data.raw_info().shape;
  const auto output = static_cast<double>(geometry.output_side(options.tile_side));
  const double pixels = static_cast<double>(shape.y) * static_cast<double>(shape.x) *
                        static_cast<double>(data.options().sections.count());
  samples_per_epoch_ =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(pixels / (output * output))));
}

PreparedSample SampleSource::prepare(std::int64_t number) const {
  const std::int64_t epoch = number / samples_per_epoch_, index = number % samples_per_epoch_;
  RandomStream random(options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index));
  const Index3 shape = data_.raw_info().shape;
  const Sections& sections = data_.options().sections;
  const std::int64_t output = geometry_.output_side(options_.tile_side);
  const auto place = [&](std::int64_t side) {
    return random.integer(std::min<std::int64_t>(0, side - output), std::max<std::int64_t>(0, side - output));
  };
  const std::int64_t z = random.integer(sections.begin, sections.end - 1), y = place(shape.y),
                     x = place(shape.x);
  const SampleWarp warp = draw_warp(options_.augmentation, 2 * data_.options().context + 1, random);
  Sample sample =
      data_.cut(z, y, x, options_.tile_side, geometry_, normalisation_.mean, normalisation_.std, warp);
  augment(sample, options_.augmentation, random);
  std::vector<float> weights = pixel_weights(sample.classes, class_weights_, sample.border);
  return {std::move(sample), std::move(weights), random.next()};
}

}  // namespace tessera
