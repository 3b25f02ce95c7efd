#include "pipeline/training_volumes.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "io/dataset_wildcards.h"
#include "io/error.h"
#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

std::optional<PixelBounds> region_of(const VolumeConfig& said, const Index3& shape) {
  if (!said.region_begin && !said.region_end) return std::nullopt;
  const Index3 begin = said.region_begin.value_or(Index3{}), end = said.region_end.value_or(shape);
  return PixelBounds{begin.y, begin.x, end.y, end.x};
}

/// The labels that belong to a raw volume. `pattern`: of the raw volume, with wildcards.
VolumeInfo labels_info(const VolumeConfig& said, const DatasetName& raw, const DatasetName& pattern) {
  try {
    return VolumeReader(*said.labels).info();
  } catch (const Error& error) {
    if (raw.text() == pattern.text()) throw;
    throw Error(fmt::format("{}.labels: {}; it goes with {}, which {} names", said.key, error.what(),
                            raw.text(), pattern.text()));
  }
}

AnnotatedVolume look_up(const VolumeConfig& said, const DatasetName& pattern) {
  AnnotatedVolume volume;
  volume.said = said;
  volume.raw = VolumeReader(*said.raw).info();
  volume.labels = labels_info(said, *said.raw, pattern);
  require_same_shape(volume.raw, volume.labels);
  if (said.train_sections) require_sections(*said.train_sections, volume.raw, said.key + ".train_sections");
  if (said.validation_sections)
    require_sections(*said.validation_sections, volume.raw, said.key + ".validation_sections");
  volume.region = region_of(said, volume.raw.shape);
  if (volume.region) require_region(*volume.region, volume.raw, said.key + ".region");
  return volume;
}

/// The volumes that one entry names.
void append_volumes(const VolumeConfig& entry, bool of_list, std::vector<AnnotatedVolume>& volumes) {
  const std::size_t first = volumes.size();
  for (const WildcardMatch& match : find_datasets(*entry.raw)) {
    const std::string mismatch = wildcard_mismatch(wildcards_of(*entry.labels), "raw", match.texts);
    const bool really_called_so = match.name.text() == entry.raw->text();
    if (!mismatch.empty() && !really_called_so)
      throw UsageError(fmt::format("{}.labels: {}", entry.key, mismatch));
    VolumeConfig one = entry;
    one.raw = match.name;
    if (mismatch.empty()) one.labels = filled_in(*entry.labels, match.texts);
    volumes.push_back(look_up(one, *entry.raw));
    VolumeConfig& said = volumes.back().said;
    if (of_list && !said.train_sections && !said.validation_sections)
      said.train_sections = Sections{0, volumes.back().raw.shape.z};
  }
  if (!entry.sampling_weight) return;
  // Shared by the volumes of the entry according to their pixels.
  const auto pixels = [](const AnnotatedVolume& one) {
    const PixelBounds b = one.bounds();
    return static_cast<double>((b.y_end - b.y_begin) * b.width()) *
           static_cast<double>(one.train_sections()->count());
  };
  double all = 0;
  for (std::size_t i = first; i < volumes.size(); ++i)
    all += pixels(volumes[i]);
  for (std::size_t i = first; i < volumes.size(); ++i)
    volumes[i].said.sampling_weight = *entry.sampling_weight * pixels(volumes[i]) / all;
}

bool overlap(const Sections& a, const Sections& b) {
  return std::max(a.begin, b.begin) < std::min(a.end, b.end);
}
bool overlap(const PixelBounds& a, const PixelBounds& b) {
  return std::max(a.y_begin, b.y_begin) < std::min(a.y_end, b.y_end) &&
         std::max(a.x_begin, b.x_begin) < std::min(a.x_end, b.x_end);
}

void require_fair_scores(const std::vector<AnnotatedVolume>& volumes) {
  for (const AnnotatedVolume& trained : volumes) {
    for (const AnnotatedVolume& held_out : volumes) {
      if (!trained.train_sections() || !held_out.validation_sections() ||
          trained.raw.name.text() != held_out.raw.name.text() ||
          !overlap(*trained.train_sections(), *held_out.validation_sections()) ||
          !overlap(trained.bounds(), held_out.bounds())) {
        continue;
      }
      throw UsageError(
          fmt::format("{} holds out sections of {} that {} trains on: scores on them would mean nothing",
                      held_out.said.key, held_out.raw.name.text(), trained.said.key));
    }
  }
}

std::string sections_text(const std::optional<Sections>& sections) {
  return sections ? fmt::format("[{}, {})", sections->begin, sections->end) : "-";
}

}  // namespace

std::vector<AnnotatedVolume> find_volumes(const DataConfig& config) {
  std::vector<AnnotatedVolume> volumes;
  for (const VolumeConfig& entry : config.all_volumes())
    append_volumes(entry, !config.volumes.empty(), volumes);
  for (const AnnotatedVolume& one : volumes) {
    const AnnotatedVolume& first = volumes.front();
    if (one.raw.channels == first.raw.channels) continue;
    throw UsageError(
        fmt::format("{}.raw: {} has {} channel{}, {} has {}: all volumes of a training need the same",
                    one.said.key, one.raw.name.text(), one.raw.channels, one.raw.channels == 1 ? "" : "s",
                    first.raw.name.text(), first.raw.channels));
  }
  require_fair_scores(volumes);
  return volumes;
}

TrainingSetOptions training_set_options(const ExperimentConfig& config,
                                        const std::vector<AnnotatedVolume>& volumes, std::int64_t context,
                                        std::int64_t tile_side, int threads) {
  TrainingSetOptions options;
  options.normalisation = config.data.normalisation;
  for (const AnnotatedVolume& one : volumes) {
    if (!one.train_sections()) continue;
    TrainingDataOptions data{one.raw.name, one.labels.name, *one.train_sections(), config.model.classes,
                             context};
    data.label_kind = one.said.label_kind;
    data.ignore_label = one.said.ignore_label;
    data.weight_map = config.train.weight_map;
    data.threads = threads;
    data.invert_labels = one.said.invert_labels;
    data.region = one.region;
    data.reach = tile_side;
    options.volumes.push_back({data, one.said.sampling_weight});
  }
  return options;
}

std::vector<ValidationVolume> validation_volumes(const std::vector<AnnotatedVolume>& volumes,
                                                 const TrainingSet& data) {
  std::vector<ValidationVolume> held_out;
  std::size_t trained = 0;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const AnnotatedVolume& one = volumes[i];
    const std::size_t place = trained;
    if (one.train_sections()) ++trained;
    if (!one.validation_sections()) continue;
    ValidationVolume volume;
    volume.raw = one.raw.name;
    volume.labels = one.labels.name;
    volume.sections = *one.validation_sections();
    volume.label_kind = one.said.label_kind;
    volume.ignore_label = one.said.ignore_label;
    volume.invert_labels = one.said.invert_labels;
    volume.region = one.region;
    volume.number = i;
    if (data.scope() == NormalisationScope::volume) {
      volume.normalisation = one.train_sections()
                                 ? data.volume(place).normalisation()
                                 : section_normalisation(volume.raw, volume.sections, volume.region);
    }
    held_out.push_back(volume);
  }
  return held_out;
}

std::int64_t held_bytes(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                        std::int64_t context, std::int64_t tile_side) {
  std::int64_t bytes = 0;
  for (const AnnotatedVolume& one : volumes) {
    if (!one.train_sections()) continue;
    const PixelBounds bounds = one.bounds();
    const Box labels{{one.train_sections()->begin, bounds.y_begin, bounds.x_begin},
                     {one.train_sections()->end, bounds.y_end, bounds.x_end}};
    const std::int64_t around = one.region ? tile_side : 0;
    const Box raw = intersection(labels.grown({context, around, around}), Box::of_shape(one.raw.shape));
    bytes += raw.voxels() * one.raw.channels * size_of(one.raw.type);
    bytes += labels.voxels() * (1 + (config.train.weight_map.w0 > 0 ? 4 : 0));
  }
  return bytes;
}

std::string volumes_summary(const std::vector<AnnotatedVolume>& volumes) {
  const auto trained = std::count_if(volumes.begin(), volumes.end(),
                                     [](const auto& one) { return one.train_sections().has_value(); });
  const auto held_out = std::count_if(volumes.begin(), volumes.end(),
                                      [](const auto& one) { return one.validation_sections().has_value(); });
  return fmt::format(
      "{} volumes, {} of them trained on, {} with held-out sections ('tessera check' lists them)",
      volumes.size(), trained, held_out);
}

std::string volumes_text(const std::vector<AnnotatedVolume>& volumes) {
  std::string text;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const AnnotatedVolume& one = volumes[i];
    const PixelBounds b = one.bounds();
    text += fmt::format(
        "  volume {:>3}: {} {} {}, trained on {}, held out {}{}\n", i, one.raw.name.text(),
        to_string(one.raw.shape), name_of(one.raw.type), sections_text(one.train_sections()),
        sections_text(one.validation_sections()),
        one.region ? fmt::format(", region y [{}, {}) x [{}, {})", b.y_begin, b.y_end, b.x_begin, b.x_end)
                   : "");
  }
  return text;
}

}  // namespace tessera
