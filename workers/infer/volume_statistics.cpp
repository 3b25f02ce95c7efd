#include "workers/infer/volume_statistics.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "io/stores/open_volume.h"
#include "io/volume/finite_check.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The sums over one section.
struct Sums {
  double count = 0, sum = 0, squares = 0;
};

/// `wanted` of `count` positions, evenly spread. All positions when `count` is smaller.
std::vector<std::int64_t> evenly_spread(std::int64_t count, std::int64_t wanted) {
  std::vector<std::int64_t> positions;
  const std::int64_t taken = std::min(count, wanted);
  for (std::int64_t i = 0; i < taken; ++i)
    positions.push_back((2 * i + 1) * count / (2 * taken));
  return positions;
}

/// The pieces in which a layer is read: its chunks, or strips of a volume without chunks.
Index3 piece_shape(const VolumeInfo& info) {
  if (info.chunk) return *info.chunk;
  return {1, std::clamp<std::int64_t>((1 << 22) / info.shape.x, 1, info.shape.y), info.shape.x};
}

void add_box(Volume& volume, const Box& box, std::vector<Sums>& sections) {
  const VoxelBuffer voxels = volume.read(box);
  require_finite(voxels, box, volume.info().name);
  const std::int64_t plane = box.shape().y * box.shape().x;
  with_voxel_type(voxels.type, [&](auto zero) {
    const auto values = voxels.as<decltype(zero)>();
    for (std::int64_t c = 0; c < voxels.channels; ++c) {
      for (std::int64_t z = 0; z < box.shape().z; ++z) {
        Sums& sums = sections[static_cast<std::size_t>(box.begin.z + z)];
        const auto* from = values.data() + (c * box.shape().z + z) * plane;
        double sum = 0, squares = 0;
        for (std::int64_t i = 0; i < plane; ++i) {
          const auto value = static_cast<double>(from[i]);
          sum += value;
          squares += value * value;
        }
        sums.count += static_cast<double>(plane);
        sums.sum += sum;
        sums.squares += squares;
      }
    }
  });
}

/// Collective. The sums of the sections in at most `most_layers` layers.
std::vector<Sums> sum_sections(const VolumeInfo& raw, std::int64_t most_layers, const Communicator& world) {
  constexpr std::int64_t kPiecesPerLayer = 64;
  std::vector<Sums> sections(static_cast<std::size_t>(raw.shape.z));
  const Index3 piece = piece_shape(raw);
  const std::int64_t rows = ceil_div(raw.shape.y, piece.y), columns = ceil_div(raw.shape.x, piece.x);
  const auto layers = evenly_spread(ceil_div(raw.shape.z, piece.z), most_layers);
  on_every_rank(world, [&] {
    std::unique_ptr<Volume> volume;
    for (std::size_t i = static_cast<std::size_t>(world.rank()); i < layers.size();
         i += static_cast<std::size_t>(world.size())) {
      if (!volume) volume = open_volume(raw.name);
      for (const std::int64_t at : evenly_spread(rows * columns, kPiecesPerLayer)) {
        const Index3 begin{layers[i] * piece.z, at / columns * piece.y, at % columns * piece.x};
        add_box(*volume, intersection({begin, begin + piece}, Box::of_shape(raw.shape)), sections);
      }
    }
  });
  // One rank summed each section and the others add zeros, so the result is bitwise independent of the number
  // of ranks.
  std::vector<double> flat;
  for (const Sums& s : sections)
    flat.insert(flat.end(), {s.count, s.sum, s.squares});
  world.sum(flat);
  for (std::size_t i = 0; i < sections.size(); ++i)
    sections[i] = {flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]};
  return sections;
}

Normalisation normalisation_of(const Sums& sums) {
  if (sums.count == 0) return {};
  const double mean = sums.sum / sums.count;
  const double deviation = std::sqrt(std::max(0.0, sums.squares / sums.count - mean * mean));
  return {mean, deviation > 1e-6 * std::max(1.0, std::abs(mean)) ? deviation : 1};
}

}  // namespace

std::vector<Normalisation> section_statistics(const VolumeInfo& raw, const Communicator& world) {
  std::vector<Normalisation> all;
  for (const Sums& sums : sum_sections(raw, INT64_MAX, world))
    all.push_back(normalisation_of(sums));
  return all;
}

std::optional<Normalisation> sampled_statistics(const VolumeInfo& raw) {
  constexpr std::int64_t kVoxels = std::int64_t{1} << 22, kLayers = 8;
  Index3 piece = piece_shape(raw);
  if (!raw.chunk) piece.y = std::clamp<std::int64_t>(kVoxels / 64 / raw.shape.x, 1, raw.shape.y);
  const std::int64_t pieces = std::clamp<std::int64_t>(kVoxels / volume_of(piece), 1, 64);
  const std::int64_t layers = std::min(kLayers, pieces);
  const std::int64_t rows = ceil_div(raw.shape.y, piece.y), columns = ceil_div(raw.shape.x, piece.x);
  const std::unique_ptr<Volume> volume = open_volume(raw.name);
  Sums sums;
  for (const std::int64_t layer : evenly_spread(ceil_div(raw.shape.z, piece.z), layers)) {
    for (const std::int64_t at : evenly_spread(rows * columns, pieces / layers)) {
      const Index3 begin{layer * piece.z, at / columns * piece.y, at % columns * piece.x};
      const VoxelBuffer voxels = volume->read(intersection({begin, begin + piece}, Box::of_shape(raw.shape)));
      with_voxel_type(voxels.type, [&](auto zero) {
        for (const auto voxel : voxels.as<decltype(zero)>()) {
          const auto value = static_cast<double>(voxel);
          if (value == 0 || !std::isfinite(value)) continue;
          sums.count += 1;
          sums.sum += value;
          sums.squares += value * value;
        }
      });
    }
  }
  if (sums.count == 0) return std::nullopt;
  return normalisation_of(sums);
}

bool is_far(const Normalisation& found, const Normalisation& expected) {
  const double mean = (found.mean - expected.mean) / expected.std, deviation = found.std / expected.std;
  return !(std::abs(mean) <= 2 && deviation >= 0.25 && deviation <= 4);
}

bool is_near(const Normalisation& found, const Normalisation& expected) {
  const double mean = (found.mean - expected.mean) / expected.std, deviation = found.std / expected.std;
  return std::abs(mean) <= 0.5 && deviation >= 2.0 / 3 && deviation <= 1.5;
}

Normalisation volume_statistics(const VolumeInfo& raw, const Communicator& world) {
  Sums total;
  for (const Sums& sums : sum_sections(raw, 256, world)) {
    total.count += sums.count;
    total.sum += sums.sum;
    total.squares += sums.squares;
  }
  return normalisation_of(total);
}

}  // namespace tessera
