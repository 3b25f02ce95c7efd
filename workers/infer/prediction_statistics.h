#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace tessera {

/// What a PredictionTask reports when its worker ends, in addition to the worker's statistics.
struct PredictionStatistics {
  std::int64_t input_pixels = 0;  ///< computed, over all tiles
  std::int64_t chunks_read = 0;   ///< stored chunks of the raw volume read and decompressed
  std::int64_t tile_shrinks = 0;  ///< how often memory ran out and smaller tiles were used
  /// Differences between the probabilities of the worker's first tile and float32, and the fraction of its
  /// voxels beyond `kPrecisionLimit`. Below 0: not compared.
  double check_largest = -1, check_mean = -1, check_share_beyond = -1;
  std::array<char, 256> engine{};  ///< TilePredictor::engine_text(), truncated to fit
};

/// Conversion to and from BlockTask::details(). An empty span gives default statistics.
inline std::vector<std::byte> details_of(const PredictionStatistics& statistics) {
  const auto bytes = std::as_bytes(std::span(&statistics, 1));
  return {bytes.begin(), bytes.end()};
}
inline PredictionStatistics prediction_statistics_of(std::span<const std::byte> details) {
  PredictionStatistics statistics;
  if (details.size() == sizeof statistics) std::memcpy(&statistics, details.data(), sizeof statistics);
  return statistics;
}

}  // namespace tessera
