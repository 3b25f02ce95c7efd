#include "pipeline/train/training_volumes.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <sstream>

#include "io/base/error.h"
#include "io/stores/dataset_wildcards.h"
#include "io/stores/open_volume.h"
#include "pipeline/config/config_values.h"
#include "pipeline/run/volume_look_up.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

std::optional<PixelBounds> region_of(const VolumeConfig& said, const Index3& shape) {
  if (!said.region_begin && !said.region_end) return std::nullopt;
  const Index3 begin = said.region_begin.value_or(Index3{}), end = said.region_end.value_or(shape);
  return PixelBounds{begin.y, begin.x, end.y, end.x};
}

/// The labels that belong to a raw volume. `pattern`: the raw volume's name with wildcards.
VolumeInfo labels_info(const VolumeConfig& said, const DatasetName& raw, const DatasetName& pattern) {
  try {
    return read_labels_info(*said.labels);
  } catch (const Error& error) {
    if (raw.text() == pattern.text()) throw;
    throw Error(fmt::format("{}.labels: {}; it goes with {}, which {} names", said.key, error.what(),
                            raw.text(), pattern.text()));
  }
}

/// One volume of an entry, as found in its files.
struct FoundVolume {
  std::size_t entry = 0;
  VolumeInfo raw, labels;
};

/// Opens the files of every entry. Errors: Error.
std::vector<FoundVolume> look_up(const std::vector<VolumeConfig>& entries) {
  std::vector<FoundVolume> found;
  for (std::size_t entry = 0; entry < entries.size(); ++entry) {
    VolumeConfig one = entries[entry];
    const DatasetName pattern = *one.raw, labels = *one.labels;
    for (const WildcardMatch& match : find_datasets(pattern)) {
      const std::string mismatch = wildcard_mismatch(wildcards_of(labels), "raw", match.texts);
      const bool really_called_so = match.name.text() == pattern.text();
      if (!mismatch.empty() && !really_called_so)
        throw UsageError(fmt::format("{}.labels: {}", one.key, mismatch));
      one.labels = mismatch.empty() ? filled_in(labels, match.texts) : labels;
      found.push_back({entry, read_volume_info(match.name), labels_info(one, match.name, pattern)});
    }
  }
  return found;
}

/// Collective: the root's result, on every rank.
void broadcast_found(std::vector<FoundVolume>& found, const Communicator& world) {
  std::vector<VolumeInfo> volumes;
  std::string entries;  // the entry number of each volume
  for (const FoundVolume& one : found) {
    volumes.insert(volumes.end(), {one.raw, one.labels});
    entries += std::to_string(one.entry) + " ";
  }
  broadcast_volumes(volumes, world);
  world.broadcast(entries);
  std::istringstream in(entries);
  found.resize(volumes.size() / 2);
  for (std::size_t i = 0; i < found.size(); ++i) {
    in >> found[i].entry;
    found[i].raw = std::move(volumes[2 * i]);
    found[i].labels = std::move(volumes[2 * i + 1]);
  }
}

AnnotatedVolume annotated(const VolumeConfig& entry, FoundVolume found) {
  AnnotatedVolume volume;
  VolumeConfig& said = volume.said;
  said = entry;
  said.raw = found.raw.name;
  said.labels = found.labels.name;
  volume.raw = std::move(found.raw);
  volume.labels = std::move(found.labels);
  require_same_shape(volume.raw, volume.labels);
  if (said.train_sections) require_sections(*said.train_sections, volume.raw, said.key + ".train_sections");
  if (said.validation_sections)
    require_sections(*said.validation_sections, volume.raw, said.key + ".validation_sections");
  volume.region = region_of(said, volume.raw.shape);
  if (volume.region) require_region(*volume.region, volume.raw, said.key + ".region");
  return volume;
}

/// Divides the sampling weight of an entry among its volumes, those from `first` on, in proportion to their
/// pixels.
void share_sampling_weight(double weight, std::size_t first, std::vector<AnnotatedVolume>& volumes) {
  const auto pixels = [](const AnnotatedVolume& one) {
    const PixelBounds b = one.bounds();
    return static_cast<double>((b.y_end - b.y_begin) * b.width()) *
           static_cast<double>(one.train_sections()->count());
  };
  double all = 0;
  for (std::size_t i = first; i < volumes.size(); ++i)
    all += pixels(volumes[i]);
  for (std::size_t i = first; i < volumes.size(); ++i)
    volumes[i].said.sampling_weight = weight * pixels(volumes[i]) / all;
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
          fmt::format("{} holds out sections of {} that {} trains on: scores on them would be meaningless",
                      held_out.said.key, held_out.raw.name.text(), trained.said.key));
    }
  }
}

/// Collective over the workers. For each volume that is held out entirely, the mean and deviation of its
/// sections. One worker reads them and the others add zeros, so that the bits are the same for any number of
/// workers.
std::vector<Normalisation> own_normalisations(const std::vector<AnnotatedVolume>& volumes,
                                              const Communicator& workers) {
  std::vector<double> values(2 * volumes.size(), 0);
  on_every_rank(workers, [&] {
    int turn = 0;
    for (std::size_t i = 0; i < volumes.size(); ++i) {
      const AnnotatedVolume& one = volumes[i];
      if (!one.said.is_held_out() || turn++ % workers.size() != workers.rank()) continue;
      const Normalisation found = section_normalisation(one.raw.name, *one.validation_sections(), one.region);
      values[2 * i] = found.mean;
      values[2 * i + 1] = found.std;
    }
  });
  workers.sum(std::span(values));
  std::vector<Normalisation> all;
  for (std::size_t i = 0; i < volumes.size(); ++i)
    all.push_back({values[2 * i], values[2 * i + 1]});
  return all;
}

std::string sections_text(const std::optional<Sections>& sections) {
  return sections ? fmt::format("[{}, {})", sections->begin, sections->end) : "-";
}

}  // namespace

std::vector<AnnotatedVolume> find_volumes(const DataConfig& config, const Communicator& world) {
  const std::vector<VolumeConfig> entries = config.all_volumes();
  std::vector<FoundVolume> found;
  on_root(world, [&] { found = look_up(entries); });
  broadcast_found(found, world);
  std::vector<AnnotatedVolume> volumes;
  auto next = found.begin();
  for (std::size_t entry = 0; entry < entries.size(); ++entry) {
    const std::size_t first = volumes.size();
    for (; next != found.end() && next->entry == entry; ++next) {
      volumes.push_back(annotated(entries[entry], std::move(*next)));
      VolumeConfig& said = volumes.back().said;
      if (!config.volumes.empty() && !said.train_sections && !said.validation_sections)
        said.train_sections = Sections{0, volumes.back().raw.shape.z};
    }
    if (entries[entry].sampling_weight)
      share_sampling_weight(*entries[entry].sampling_weight, first, volumes);
  }
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
                                                 const TrainingSet& data, const Communicator& workers) {
  const std::vector<Normalisation> own = data.scope() == NormalisationScope::volume
                                             ? own_normalisations(volumes, workers)
                                             : std::vector<Normalisation>();
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
      volume.normalisation = one.train_sections() ? data.volume(place).normalisation() : own[i];
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
