#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"
#include "pipeline/config/data_config.h"
#include "pipeline/config/yaml_reader.h"
#include "workers/device/precision.h"
#include "workers/infer/tile_predictor.h"

namespace tessera {

/// Where the mean and the standard deviation of the raw values come from.
enum class NormalisationKind {
  checkpoint,  ///< the training volume's
  volume,      ///< the raw volume's own
  section,     ///< each section's own
  fixed,       ///< given
};
constexpr auto enum_names(NormalisationKind) {
  return std::to_array<EnumName<NormalisationKind>>({{NormalisationKind::checkpoint, "checkpoint"},
                                                     {NormalisationKind::volume, "volume"},
                                                     {NormalisationKind::section, "section"},
                                                     {NormalisationKind::fixed, "fixed"}});
}

/// `infer:`
struct InferConfig {
  std::optional<DatasetName> raw, output;          ///< output: none where wildcards in `raw` name several
  std::string checkpoint = "best";                 ///< best, latest or a file
  std::vector<std::string> ensemble;               ///< files or run folders; replaces `checkpoint`
  std::optional<Index3> tile, block, chunk;        ///< none: automatic; z of `tile` is 1
  std::optional<Precision> precision;              ///< none: automatic
  std::optional<Index3> region_begin, region_end;  ///< none: the whole volume
  std::int64_t output_class = 1;                   ///< the first of `classes`
  std::vector<std::int64_t> classes = {1};
  bool labels = false;  ///< the predicted class in place of probabilities
  VoxelType type = VoxelType::uint8;
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  std::int64_t blend_overlap = 64;  ///< pixels; used with blending only
  NormalisationKind normalisation = NormalisationKind::checkpoint;
  Normalisation fixed_normalisation;     ///< with NormalisationKind::fixed
  std::optional<DatasetName> skip_mask;  ///< blocks whose mask is 0 everywhere are not predicted
  std::optional<std::pair<double, double>>
      background;  ///< blocks with all raw values within are not predicted
  int threads = 0;
  std::int64_t memory_budget = 0;  ///< bytes per worker for activations; 0: automatic

  /// Channels of the result.
  std::int64_t channels() const { return labels ? 1 : static_cast<std::int64_t>(classes.size()); }
  bool reproducible = true;  ///< on a GPU: bit-equal results in every run, by fixed kernels
  ExactTiles exact_tiles = ExactTiles::automatic;  ///< on a GPU: bit-equal results for tiles of every size
  int max_retries = 2;                             ///< of a failed block
  double watchdog_minutes = 30;                    ///< without a heartbeat of a rank; 0: no limit
};

/// What the defaults of `infer:` come from.
struct InferDefaults {
  const DataConfig& data;
  std::filesystem::path run_folder;
  std::int64_t classes = 2;  ///< of the network
  bool torchscript = false;
};

/// Reads `infer:`, and notes what of it are images. `data.raw` is the default of `infer.raw`, and a file in
/// the run folder that of `infer.output`; `needed`: the verb predicts. Problems are noted in the document.
InferConfig read_infer(ConfigSection infer, const InferDefaults& defaults, ImageInputs& images, bool needed);

/// The result in a run folder, for an experiment that names none: prediction.h5, with a path that says what
/// is in it, such as /volumes/predictions/interior.
DatasetName default_output(const std::filesystem::path& run_folder, const InferConfig& infer,
                           std::int64_t classes);

}  // namespace tessera
