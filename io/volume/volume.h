#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// The properties of a stored volume. A 2-D dataset (y, x) is a volume of one section. A 4-D dataset is
/// (channel, z, y, x).
struct VolumeInfo {
  DatasetName name;
  VoxelType type = VoxelType::uint8;  ///< of the voxels in memory
  std::string stored_type;            ///< of the voxels in the file, such as "int64"; "": not known
  std::int64_t channels = 1;
  int rank = 3;                                   ///< dimensions of the dataset, 2 to 4
  Index3 shape;                                   ///< voxels
  std::optional<Index3> chunk;                    ///< chunk shape in voxels; none: stored contiguously
  std::int64_t chunk_channels = 1;                ///< channels per chunk, for 4-D datasets
  std::vector<std::string> filters;               ///< such as "gzip", "shuffle"
  std::vector<double> resolution_nm;              ///< attribute `resolution` of CREMI (z, y, x), or empty
  std::vector<double> offset_nm;                  ///< attribute `offset` of CREMI (z, y, x), or empty
  std::map<std::string, std::string> attributes;  ///< every string attribute, and `offsets` as JSON
  /// Every file that its voxels are in, as canonical paths: what links lead to, external storage, the sources
  /// of a virtual dataset. Empty on ranks that did not open it (broadcast_volumes).
  std::vector<std::filesystem::path> files;

  /// The type that a message names: the stored one, where it is known.
  std::string type_text() const { return stored_type.empty() ? name_of(type) : stored_type; }
  /// The number of chunks that the dataset stores; 0 for contiguous datasets.
  std::int64_t chunks_stored() const;
};

/// The message about a raw volume of wide integers, with the command that converts it.
std::string wrong_raw_type_text(const VolumeInfo& raw);

/// How a volume is read.
struct ReadOptions {
  /// Memory for decompressed chunks, kept from one read() to the next. The default holds one layer of chunks,
  /// so that reading section after section decompresses each chunk once. Readers whose boxes are whole chunks
  /// need no cache.
  std::size_t chunk_cache_bytes = std::size_t{256} << 20;
  /// Threads that decompress chunks, where the store can do so; they keep no chunk between reads. 0: the
  /// thread that calls read() decompresses.
  int unpack_threads = 0;
};

/// A volume that is open for reading. Not thread-safe. Stores may need all calls of a process, for all of
/// their volumes, on one thread at a time (HDF5 does).
class Volume {
 public:
  virtual ~Volume() = default;

  virtual const VolumeInfo& info() const = 0;

  /// The voxels of `box`, which must be inside the volume: every channel, of type info().type.
  /// `memory` is reused for the result where the caller has some.
  /// Errors: Error that names the box.
  virtual VoxelBuffer read(const Box& box, std::vector<std::byte> memory = {}) = 0;

  /// The number of stored chunks that the reads so far have touched. One read() decompresses a chunk at most
  /// once. 0 for contiguous datasets.
  virtual std::int64_t chunks_read() const = 0;
};

/// One worker's access to a result that several workers write. The blocks of different writers are disjoint,
/// so no lock is needed; writing a block again is harmless. Not thread-safe.
class VolumeWriter {
 public:
  virtual ~VolumeWriter() = default;

  /// Writes `voxels`, of the result's type and channels, to `block`. The block starts on the chunk grid and
  /// ends on it or at the volume's end. Returns the CRC-32C of the voxels (channel by channel, row-major).
  /// Errors: Error.
  virtual std::uint32_t write(const Box& block, const VoxelBuffer& voxels) = 0;

  /// Returns when everything that write() wrote is on the disk. Errors: Error.
  virtual void sync() = 0;
};

}  // namespace tessera
