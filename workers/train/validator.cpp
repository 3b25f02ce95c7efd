#include "workers/train/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/geometry/tile_grid.h"
#include "io/stores/open_volume.h"
#include "io/volume/finite_check.h"
#include "workers/device/device.h"
#include "workers/infer/tile_choice.h"
#include "workers/metrics/threshold_scores.h"
#include "workers/mpi/message.h"
#include "workers/mpi/mpi_lock.h"
#include "workers/network/between_layers.h"
#include "workers/network/network.h"
#include "workers/network/tile_network.h"
#include "workers/samples/pixel_weights.h"
#include "workers/train/validation_share.h"

namespace tessera {
namespace {

constexpr int kTagProbability = 31;  ///< worker -> a section's owner: RowsMessage, then rows of float32
constexpr std::int64_t kMessageBytes = std::int64_t{64} << 20;

struct RowsMessage {
  std::int64_t section = 0, begin = 0, rows = 0;
};

/// One held-out section.
struct HeldOut {
  std::size_t volume = 0;
  std::int64_t z = 0;
  PixelBounds bounds;  ///< the pixels that are scored
  Box box() const { return {{z, bounds.y_begin, bounds.x_begin}, {z + 1, bounds.y_end, bounds.x_end}}; }
  bool first = false;  ///< of its volume
};

/// One validation on one worker.
class Validation {
 public:
  Validation(const Network& network, const ValidationOptions& options, const Communicator& workers,
             const std::function<void(const PredictedSection&)>& show)
      : traits_(network.description()),
        options_(options),
        workers_(workers),
        show_(show),
        sections_(held_out(options)),
        by_rule_(options.device),
        predictor_(network_of(network, options), traits_, predictor_options(options.device)),
        table_(accumulated_thresholds(21), static_cast<std::int64_t>(sections_.size())) {
    std::vector<SectionRows> rows;
    for (const HeldOut& one : sections_)
      rows.push_back({one.bounds.y_begin, one.bounds.y_end, one.bounds.width()});
    bands_ = share_rows(rows, traits_.geometry.alignment, workers.size());
  }

  std::optional<ValidationScores> run() {
    // The first section of this worker's range may be scored by another worker, and other workers may have
    // rows of its last one.
    std::optional<SectionBand> given, awaited;
    VoxelBuffer given_rows, awaited_rows;
    for (const SectionBand& band : bands_) {
      if (band.worker != workers_.rank()) continue;
      VoxelBuffer rows = predict(band);
      const HeldOut& section = sections_[band.section];
      if (band.begin != section.bounds.y_begin) {
        given = band;
        given_rows = std::move(rows);
      } else if (band.end != section.bounds.y_end) {
        awaited = band;
        awaited_rows = std::move(rows);
      } else {
        score(band.section, rows);
      }
    }
    // Rows are sent to lower ranks only, so that some worker always receives: no deadlock.
    if (given) send(*given, given_rows);
    if (awaited) {
      const VoxelBuffer whole = receive(*awaited, std::move(awaited_rows));
      score(awaited->section, whole);
    }
    std::vector<double> sums = table_.flat();
    sums.push_back(left_ ? 1 : 0);
    workers_.sum(sums);
    if (sums.back() > 0) return std::nullopt;
    sums.pop_back();
    table_.set_flat(sums);
    return scores();
  }

 private:
  static std::unique_ptr<TileNetwork> network_of(const Network& network, const ValidationOptions& options) {
    std::unique_ptr<TileNetwork> made = make_reference_network(network, options.device);
    if (options.must_leave) {
      made->set_between_layers([&must_leave = options.must_leave] {
        if (must_leave()) throw PassInterrupted();
      });
    }
    return made;
  }

  static PredictorOptions predictor_options(const Device& device) {
    PredictorOptions options;
    options.device = device;
    options.exact_tiles = ExactTiles::no;
    options.output_type = VoxelType::float32;
    return options;
  }

  static std::vector<HeldOut> held_out(const ValidationOptions& options) {
    std::vector<HeldOut> sections;
    for (std::size_t v = 0; v < options.volumes.size(); ++v) {
      const ValidationVolume& volume = options.volumes[v];
      const Index3 shape = read_volume_info(volume.raw).shape;
      const PixelBounds bounds = volume.region.value_or(PixelBounds{0, 0, shape.y, shape.x});
      for (std::int64_t z = volume.sections.begin; z < volume.sections.end; ++z)
        sections.push_back({v, z, bounds, z == volume.sections.begin});
    }
    return sections;
  }

  /// Opens the files of a volume unless it was the last one used.
  const ValidationVolume& open(std::size_t volume) {
    const ValidationVolume& what = options_.volumes[volume];
    if (opened_ != volume) {
      raw_ = open_volume(what.raw);
      labels_ = open_labels_on(raw_->info(), what.labels).volume;
      predictor_.set_normalisation(what.normalisation);
      opened_ = volume;
    }
    return what;
  }

  ValidationScores scores() const {
    const std::vector<VolumeScores> scores = volume_scores(table_);
    const BestThresholds best = best_thresholds(scores);
    ThresholdSums middle;
    for (std::int64_t z = 0; z < table_.sections; ++z)
      middle += table_.section(z)[table_.thresholds.size() / 2];
    ValidationScores result;
    result.has_membrane = middle.true_negative + middle.false_positive > 0;
    result.has_interior = middle.true_positive + middle.false_negative > 0;
    const bool judged = result.has_membrane && result.has_interior;
    result.pixel_error = judged ? scores[best.pixel_error].pooled.pixel_error : kUndefined;
    result.threshold = judged ? table_.thresholds[best.pixel_error] : kUndefined;
    result.iou = judged ? scores[best.iou].pooled.iou : kUndefined;
    result.rand_f = judged ? scores[best.rand_f_micro].pooled.rand.f : kUndefined;
    result.correlation = correlation(middle);
    result.looks_inverted = result.correlation < kInvertedCorrelation;
    return result;
  }

  /// The probabilities of a band. When this worker has to leave, zeros: others wait for the rows.
  VoxelBuffer predict(const SectionBand& band) {
    left_ = left_ || (options_.must_leave && options_.must_leave());
    try {
      if (!left_) return predict_fully(band);
    } catch (const PassInterrupted&) {
      left_ = true;
    }
    return VoxelBuffer(predictor_.options().output_type, box_of(band).shape());
  }

  Box box_of(const SectionBand& band) const {
    Box box = sections_[band.section].box();
    box.begin.y = band.begin;
    box.end.y = band.end;
    return box;
  }

  VoxelBuffer predict_fully(const SectionBand& band) {
    const ValidationVolume& volume = open(sections_[band.section].volume);
    const Index3 shape = raw_->info().shape;
    const Box box = box_of(band);
    const TileGrid grid(
        traits_.geometry, shape, choose_tile(traits_, box.shape(), shape, {.budget = options_.memory_budget}),
        TileGridOptions{.context = options_.context, .equal_inputs = predictor_.options().device.cuda});
    const std::vector<Tile> tiles = grid.tiles_of(box);
    const Box raw_box = raw_box_for(tiles, shape);
    const VoxelBuffer voxels = raw_->read(raw_box);
    require_finite(voxels, raw_box, volume.raw);
    return predictor_.predict(voxels, raw_box, shape, tiles, box, {});
  }

  void send(const SectionBand& band, const VoxelBuffer& rows) {
    const auto owner = std::find_if(bands_.begin(), bands_.end(),
                                    [&](const SectionBand& one) { return one.section == band.section; });
    const std::int64_t row_bytes = rows.shape.x * size_of(rows.type);
    const std::int64_t at_once = std::max<std::int64_t>(1, kMessageBytes / row_bytes);
    for (std::int64_t begin = 0; begin < rows.shape.y; begin += at_once) {
      const RowsMessage header{static_cast<std::int64_t>(band.section), band.begin + begin,
                               std::min(at_once, rows.shape.y - begin)};
      const auto bytes = std::span(rows.bytes)
                             .subspan(static_cast<std::size_t>(begin * row_bytes),
                                      static_cast<std::size_t>(header.rows * row_bytes));
      workers_.send(owner->worker, kTagProbability, message_bytes(header, bytes));
    }
  }

  /// The section that begins with `band`, whose rows this worker has, after all rows of other workers have
  /// arrived.
  VoxelBuffer receive(const SectionBand& band, VoxelBuffer rows) {
    const HeldOut& section = sections_[band.section];
    VoxelBuffer whole(rows.type, section.box().shape());
    const std::int64_t row_bytes = whole.shape.x * size_of(whole.type);
    std::memcpy(whole.bytes.data(), rows.bytes.data(), rows.bytes.size());
    rows = {};
    const MpiWait waiting("receive sections of other workers");
    PoliteWait idle;
    for (std::int64_t missing = section.bounds.y_end - band.end; missing > 0;) {
      const auto message = workers_.try_receive(kTagProbability);
      if (!message) {
        idle.pause();
        continue;
      }
      const auto [header, bytes] = header_and_rest<RowsMessage>(*message);
      if (static_cast<std::int64_t>(bytes.size()) != header.rows * row_bytes)
        throw_message_size(*message, fmt::format("{} rows of {}", header.rows, row_bytes));
      std::memcpy(whole.bytes.data() + (header.begin - section.bounds.y_begin) * row_bytes, bytes.data(),
                  bytes.size());
      missing -= header.rows;
      idle.reset();
    }
    return whole;
  }

  void score(std::size_t index, const VoxelBuffer& predicted) {
    if (left_) return;
    const HeldOut& section = sections_[index];
    const ValidationVolume& volume = open(section.volume);
    const Box box = section.box();
    const LabelOptions label_options{traits_.classes, volume.label_kind, volume.ignore_label,
                                     volume.invert_labels};
    std::vector<std::uint8_t> truth = label_classes(labels_->read(box), box, label_options, volume.labels);
    for (std::uint8_t& one : truth) {
      if (one != kIgnoredClass) one = one == 1 ? 1 : 0;
    }
    const auto probability = predicted.as<float>();
    const Index3 shape = box.shape();
    const auto sums = score_section<float>(probability, truth, shape.y, shape.x, table_.thresholds);
    std::copy(sums.begin(), sums.end(), table_.section(static_cast<std::int64_t>(index)).begin());
    if (!show_ || !section.first || section.volume >= kShownVolumes) return;
    PredictedSection shown{volume.number, section.z, shape.y, shape.x, {}, {}, std::move(truth)};
    shown.probability.assign(probability.begin(), probability.end());
    const VoxelBuffer own = raw_->read(box);
    with_voxel_type(own.type, [&](auto zero) {
      const auto raw = own.as<decltype(zero)>();
      shown.raw.assign(raw.begin(), raw.begin() + shape.y * shape.x);
    });
    show_(shown);
  }

  NetworkTraits traits_;
  const ValidationOptions& options_;
  const Communicator& workers_;
  const std::function<void(const PredictedSection&)>& show_;
  std::vector<HeldOut> sections_;
  std::vector<SectionBand> bands_;
  HeuristicAlgorithms by_rule_;  ///< a search for algorithms took 16 s: too long for a few sections
  TilePredictor predictor_;
  ThresholdTable table_;
  bool left_ = false;  ///< this worker had to leave
  std::size_t opened_ = static_cast<std::size_t>(-1);
  std::unique_ptr<Volume> raw_, labels_;
};

}  // namespace

std::optional<ValidationScores> validate(const Network& network, const ValidationOptions& options,
                                         const Communicator& workers,
                                         const std::function<void(const PredictedSection&)>& show) {
  return Validation(network, options, workers, show).run();
}

}  // namespace tessera
