#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/volume/dataset_name.h"

namespace tessera {

class ParallelChunkReader;

/// What a volume's dataset says of itself. A 2-D dataset (y, x) is a volume of one section; a 4-D one is
/// (channel, z, y, x).
struct VolumeInfo {
  DatasetName name;
  VoxelType type = VoxelType::uint8;  ///< the type voxels have in memory
  std::int64_t channels = 1;
  int rank = 3;  ///< dimensions of the dataset
  Index3 shape;
  std::optional<Index3> chunk;                    ///< none: contiguous
  std::int64_t chunk_channels = 1;                ///< channels per chunk, for 4-D datasets
  std::vector<std::string> filters;               ///< such as "gzip", "shuffle"
  std::vector<double> resolution_nm;              ///< CREMI's `resolution` (z, y, x); empty when absent
  std::vector<double> offset_nm;                  ///< CREMI's `offset` (z, y, x); empty when absent
  std::map<std::string, std::string> attributes;  ///< every string attribute of the dataset

  /// The number of chunks that the dataset stores; 0 for contiguous datasets.
  std::int64_t chunks_stored() const;
};

/// Room in the library's chunk cache for one layer of chunks, so that reading section after section
/// decompresses each chunk once; beyond this, boxes as deep as the chunks are the better way to read.
constexpr std::size_t kChunkCacheBytes = std::size_t{256} << 20;

/// Reads boxes of one dataset. Integers of 8 to 64 bits become uint8, uint16, uint32 or uint64 (a signed
/// type the unsigned one of its width; a negative value is an error), floating point of any width float32.
/// Holds the file open. Not thread-safe: one thread per process makes HDF5 calls.
class VolumeReader {
 public:
  /// Errors: Error when the file or the dataset is missing, unreadable, of an unfit type or rank, or empty.
  explicit VolumeReader(const DatasetName& name, std::size_t chunk_cache_bytes = kChunkCacheBytes);
  /// Unpacks compressed chunks on so many threads of its own where their filters allow it; nothing of them is
  /// kept from one read to the next. 0: leaves it to the library again.
  void unpack_on_threads(int threads);

  VolumeReader(VolumeReader&&) noexcept;
  VolumeReader& operator=(VolumeReader&&) noexcept;
  ~VolumeReader();

  const VolumeInfo& info() const { return info_; }

  /// The voxels of `box`, which must lie inside the volume.
  /// `memory`: to read into, where the caller has some to spare.
  /// Errors: Error naming the box for a failing read or for a negative value of a signed type.
  VoxelBuffer read(const Box& box, std::vector<std::byte> memory = {});

  /// The voxels of any box; beyond the volume it is mirrored (`mirror_index`).
  VoxelBuffer read_mirrored(const Box& box);

  /// How many stored chunks the reads so far have touched: each is read and decompressed at most once per
  /// read. 0 for contiguous datasets.
  std::int64_t chunks_read() const { return chunks_read_; }

 private:
  /// False when the library must do it.
  bool read_in_parallel(const Box& box, VoxelBuffer& buffer, const std::string& what);
  void read_by_library(const hsize_t* start, const hsize_t* count, VoxelBuffer& buffer,
                       const std::string& what);

  VolumeInfo info_;
  Hdf5Handle file_;
  Hdf5Handle dataset_;
  std::int64_t chunks_read_ = 0;
  std::unique_ptr<ParallelChunkReader> parallel_;
};

/// Voxels of any box out of `held`, a buffer that covers `held_box` of a volume of `shape`. Everything that
/// the mirrored `box` shows must lie in `held_box` (`mirrored_source`).
VoxelBuffer cut_mirrored(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape);

/// How many values of a float buffer are NaN or infinite, and where the first one is.
struct NonFinite {
  std::int64_t count = 0;
  Index3 first;  ///< relative to the buffer
};
NonFinite find_non_finite(const VoxelBuffer& buffer);

/// Throws Error naming volume, count and place when `buffer`, which holds `box`, has a NaN or an infinity.
void require_finite(const VoxelBuffer& buffer, const Box& box, const DatasetName& name);

}  // namespace tessera
