#include "workers/train/validator.h"

#include "workers/infer/inference_worker.h"
#include "workers/infer/tile_choice.h"
#include "workers/metrics/threshold_scores.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/pixel_weights.h"

namespace tessera {

ValidationScores validate(const UNetImpl& network, const ValidationOptions& options,
                          const Communicator& workers,
                          const std::function<void(const PredictedSection&)>& show) {
  VolumeReader raw(options.raw), labels(options.labels);
  const Index3 shape = raw.info().shape;
  PredictorOptions predictor_options;
  predictor_options.normalisation = options.normalisation;
  predictor_options.device = options.device;
  predictor_options.output_type = VoxelType::float32;
  const UNetOptions& unet = network.options();
  const Index3 section_shape{1, shape.y, shape.x};
  const TileGrid grid(geometry_of(unet), shape,
                      choose_tile(unet, section_shape, shape, {.budget = options.memory_budget}),
                      options.context);
  const TilePredictor predictor(clone_network(network), predictor_options);

  ThresholdTable table(accumulated_thresholds(21), options.sections.count());
  for (std::int64_t s = workers.rank(); s < options.sections.count(); s += workers.size()) {
    const std::int64_t z = options.sections.begin + s;
    const Box section{{z, 0, 0}, {z + 1, shape.y, shape.x}};
    const std::vector<Tile> tiles = grid.tiles_of(section);
    const Box raw_box = raw_box_for(tiles, shape);
    const VoxelBuffer voxels = raw.read(raw_box);
    require_finite(voxels, raw_box, options.raw);
    VoxelBuffer probability = predictor.predict(voxels, raw_box, shape, tiles, section, {});
    const LabelOptions label_options{unet.classes, options.label_kind, options.ignore_label};
    const std::vector<std::uint8_t> truth =
        label_classes(labels.read(section), section, label_options, options.labels);
    std::vector<std::uint8_t> interior(truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
      interior[i] = truth[i] == 1 ? 1 : 0;
      if (truth[i] == kIgnoredClass) probability.as<float>()[i] = 0;
    }
    const auto sums =
        score_section<float>(probability.as<float>(), interior, shape.y, shape.x, table.thresholds);
    std::copy(sums.begin(), sums.end(), table.section(s).begin());
    if (s == 0 && show) {
      PredictedSection predicted{z, shape.y, shape.x, {}, {}, interior};
      const VoxelBuffer own = cut_mirrored(voxels, raw_box, section, shape);
      with_voxel_type(own.type, [&](auto zero) {
        const auto values = own.as<decltype(zero)>();
        predicted.raw.assign(values.begin(), values.begin() + shape.y * shape.x);
      });
      predicted.probability.assign(probability.as<float>().begin(), probability.as<float>().end());
      show(predicted);
    }
  }
  std::vector<double> sums = table.flat();
  workers.sum(sums);
  table.set_flat(sums);
  const std::vector<VolumeScores> scores = volume_scores(table);
  const BestThresholds best = best_thresholds(scores);
  return {scores[best.pixel_error].pooled.pixel_error, table.thresholds[best.pixel_error],
          scores[best.iou].pooled.iou, scores[best.rand_f_micro].pooled.rand.f};
}

}  // namespace tessera
