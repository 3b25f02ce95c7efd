#include "workers/samples/sample_source.h"

#include <algorithm>
#include <cmath>

#include "workers/numbers/random_stream.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {

SampleSource::SampleSource(const TrainingSet& data, const NetworkGeometry& geometry,
                           const SampleOptions& options)
    : data_(data),
      geometry_(geometry),
      options_(options),
      normalisation_(data.normalisation()),
      class_weights_(tessera::class_weights(data.class_counts(), options.class_balance)) {
  const auto output = static_cast<double>(geometry.output_side(options.tile_side));
  samples_per_epoch_ =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(data.pixels() / (output * output))));
}

const Normalisation& SampleSource::normalisation_of(std::size_t volume) const {
  return data_.scope() == NormalisationScope::volume ? data_.volume(volume).normalisation() : normalisation_;
}

RandomStream SampleSource::stream_of(std::int64_t number) const {
  const std::int64_t epoch = number / samples_per_epoch_, index = number % samples_per_epoch_;
  return {options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index)};
}

SampleDraw SampleSource::draw_once(std::size_t volume, RandomStream& random) const {
  const TrainingData& data = data_.volume(volume);
  const Sections& sections = data.options().sections;
  const PixelBounds& region = data.region();
  const std::int64_t output = geometry_.output_side(options_.tile_side);
  const auto place = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t room = end - begin - output;  // below 0: the output exceeds the section
    return begin + random.integer(std::min<std::int64_t>(0, room), std::max<std::int64_t>(0, room));
  };
  SampleDraw drawn;
  drawn.volume = volume;
  drawn.at.z = random.integer(sections.begin, sections.end - 1);
  drawn.at.y = place(region.y_begin, region.y_end);
  drawn.at.x = place(region.x_begin, region.x_end);
  drawn.warp = draw_warp(options_.augmentation, 2 * data.options().context + 1, random);
  return drawn;
}

double SampleSource::foreground(const SampleDraw& draw) const {
  const Sample targets =
      data_.volume(draw.volume)
          .cut_targets(draw.at.z, draw.at.y, draw.at.x, options_.tile_side, geometry_, draw.warp);
  std::int64_t judged = 0, foreground = 0;
  for (const std::uint8_t c : targets.classes) {
    judged += c != kIgnoredClass ? 1 : 0;
    foreground += c != kIgnoredClass && c > 0 ? 1 : 0;
  }
  return judged == 0 ? 0 : static_cast<double>(foreground) / static_cast<double>(judged);
}

/// A sample with too little foreground is drawn again from the same volume, so that volumes keep their
/// shares.
SampleDraw SampleSource::draw(RandomStream& random) const {
  const std::size_t volume = data_.count() == 1 ? 0 : data_.volume_at(random.uniform());
  SampleDraw best = draw_once(volume, random);
  if (options_.min_foreground == 0) return best;
  double most = foreground(best);
  for (int again = 0; again < kForegroundDraws && most < options_.min_foreground; ++again) {
    SampleDraw drawn = draw_once(volume, random);
    const double share = foreground(drawn);
    if (share <= most) continue;
    most = share;
    best = std::move(drawn);
  }
  return best;
}

SampleDraw SampleSource::draw(std::int64_t number) const {
  RandomStream random = stream_of(number);
  return draw(random);
}

SampleRecipe SampleSource::recipe(std::int64_t number) const {
  RandomStream random = stream_of(number);
  SampleRecipe recipe;
  recipe.draw = draw(random);
  const TrainingData& data = data_.volume(recipe.draw.volume);
  recipe.changes = draw_changes(options_.augmentation, 2 * data.options().context + 1,
                                data.network_channels() * options_.tile_side * options_.tile_side, random);
  recipe.dropout_seed = random.next();
  return recipe;
}

PreparedSample SampleSource::prepare(std::int64_t number) const {
  PreparedSample prepared{recipe(number), {}, {}};
  const SampleDraw& drawn = prepared.recipe.draw;
  const Normalisation& normalisation = normalisation_of(drawn.volume);
  Sample& sample = prepared.sample;
  sample = data_.volume(drawn.volume)
               .cut(drawn.at.z, drawn.at.y, drawn.at.x, options_.tile_side, geometry_, normalisation.mean,
                    normalisation.std, drawn.warp);
  apply_changes(prepared.recipe.changes, sample);
  prepared.weights = pixel_weights(sample.classes, class_weights_, sample.border);
  return prepared;
}

}  // namespace tessera
