#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Undoes the filters of one stored chunk as the HDF5 library would, without the library, which works on one
/// thread only. Knows gzip and shuffle.
class ChunkDecoder {
 public:
  /// The filters of a dataset, in the order in which they were applied when writing; `value_bytes` is the
  /// size of one stored value, `chunk_bytes` that of a whole chunk in memory.
  static bool can_decode(hid_t creation_list);
  ChunkDecoder(hid_t creation_list, std::size_t value_bytes, std::size_t chunk_bytes);

  /// The chunk's values. `skipped` is the chunk's filter mask: bit i set means filter i was not applied to
  /// it. Thread-safe. Errors: Error when the bytes are not what the filters made.
  std::vector<std::byte> decode(std::vector<std::byte> stored, std::uint32_t skipped) const;

 private:
  std::vector<H5Z_filter_t> filters_;
  std::size_t value_bytes_, chunk_bytes_;
};

/// Byte i of value j of the shuffled bytes is at i * count + j; what does not fill a value stays at the end.
void unshuffle(std::span<const std::byte> shuffled, std::size_t value_bytes, std::span<std::byte> values);

}  // namespace tessera
