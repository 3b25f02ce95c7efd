#include "pipeline/train/training_volumes.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <sstream>

#include "io/base/error.h"
#include "io/base/log.h"
#include "io/stores/dataset_wildcards.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/config/config_values.h"
#include "pipeline/run/prediction_meaning.h"
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
      warn_when_written(match.name.file);
      if (one.labels->file != match.name.file) warn_when_written(one.labels->file);
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

/// Cuts sections and region to what the labels cover. Errors: UsageError when nothing is left of them.
void cut_to_labels(AnnotatedVolume& volume) {
  const Box& labelled = volume.labelled;
  const auto nothing_left = [&](const std::string& key, const std::string& what) {
    throw UsageError(fmt::format("{}.{}: {} of {} has no labels: by their offset, {} cover {} of it",
                                 volume.said.key, key, what, volume.raw.name.text(),
                                 volume.labels.name.text(), to_string(labelled)));
  };
  const auto cut_sections = [&](std::optional<Sections>& sections, const std::string& key) {
    if (!sections) return;
    const Sections left{std::max(sections->begin, labelled.begin.z), std::min(sections->end, labelled.end.z)};
    if (left.count() <= 0) nothing_left(key, fmt::format("[{}, {})", sections->begin, sections->end));
    sections = left;
  };
  cut_sections(volume.said.train_sections, "train_sections");
  cut_sections(volume.said.validation_sections, "validation_sections");
  const PixelBounds all = volume.bounds();
  const PixelBounds left{std::max(all.y_begin, labelled.begin.y), std::max(all.x_begin, labelled.begin.x),
                         std::min(all.y_end, labelled.end.y), std::min(all.x_end, labelled.end.x)};
  if (left.y_end <= left.y_begin || left.width() <= 0) {
    nothing_left("region",
                 fmt::format("y [{}, {}) x [{}, {})", all.y_begin, all.y_end, all.x_begin, all.x_end));
  }
  const bool is_whole = left.y_begin == 0 && left.x_begin == 0 && left.y_end == volume.raw.shape.y &&
                        left.x_end == volume.raw.shape.x;
  if (volume.region || !is_whole) volume.region = left;
}

/// Errors: UsageError for a probability that `infer` wrote.
void require_labels(const VolumeInfo& labels, const std::string& key) {
  if (meaning_of(labels).values != PredictionMeaning::Values::probability) return;
  throw UsageError(fmt::format(
      "{}.labels: {} says of itself '{}' (attribute 'meaning'): it is a prediction, not labels. Name the "
      "labels; are prediction and labels swapped?",
      key, labels.name.text(), labels.attributes.at("meaning")));
}

AnnotatedVolume annotated(const VolumeConfig& entry, FoundVolume found) {
  require_labels(found.labels, entry.key);
  AnnotatedVolume volume;
  VolumeConfig& said = volume.said;
  said = entry;
  said.raw = found.raw.name;
  said.labels = found.labels.name;
  volume.raw = std::move(found.raw);
  volume.labels = std::move(found.labels);
  volume.labelled = labelled_box(volume.raw, volume.labels);
  if (said.train_sections) require_sections(*said.train_sections, volume.raw, said.key + ".train_sections");
  if (said.validation_sections)
    require_sections(*said.validation_sections, volume.raw, said.key + ".validation_sections");
  volume.region = region_of(said, volume.raw.shape);
  if (volume.region) require_region(*volume.region, volume.raw, said.key + ".region");
  cut_to_labels(volume);
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

/// A volume that is a result itself may not be whole yet.
void warn_of_incomplete(const std::vector<AnnotatedVolume>& volumes) {
  for (const AnnotatedVolume& one : volumes) {
    for (const VolumeInfo* info : {&one.raw, &one.labels}) {
      const ResultCompleteness found = completeness_of(*info);
      if (!found.complete())
        spdlog::warn("{}: {} is incomplete: {}", one.said.key, info->name.text(), found.problem);
    }
  }
}

/// Labels that reach beyond the raw volume are perhaps those of another one.
void warn_of_unused_labels(const std::vector<AnnotatedVolume>& volumes) {
  for (const AnnotatedVolume& one : volumes) {
    if (one.labelled.shape() == one.labels.shape) continue;
    spdlog::warn(
        "by their offset, the labels {} reach beyond the raw volume {}: only {} of it is annotated (are they "
        "the labels of this volume?)",
        one.labels.name.text(), one.raw.name.text(), to_string(one.labelled));
  }
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
        said.train_sections = Sections{volumes.back().labelled.begin.z, volumes.back().labelled.end.z};
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
  if (world.is_root()) {
    warn_of_unused_labels(volumes);
    warn_of_incomplete(volumes);
  }
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
