#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Reverses the filters gzip and shuffle of one stored chunk, like the HDF5 library, which can use only one
/// thread.
class ChunkDecoder {
 public:
  /// Whether all filters of a dataset are known here.
  static bool can_decode(hid_t creation_list);
  /// `value_bytes`: size of one stored value; `chunk_bytes`: size of a whole chunk in memory.
  ChunkDecoder(hid_t creation_list, std::size_t value_bytes, std::size_t chunk_bytes);

  /// The chunk's values. `skipped` is the chunk's filter mask: if bit i is set, filter i was not applied to
  /// it. Thread-safe. Errors: Error when the bytes are damaged.
  std::vector<std::byte> decode(std::vector<std::byte> stored, std::uint32_t skipped) const;

 private:
  std::vector<H5Z_filter_t> filters_;
  std::size_t value_bytes_, chunk_bytes_;
};

/// Reverses HDF5's shuffle: byte i of value j is at i * count + j. Bytes that do not fill a value stay at the
/// end.
void unshuffle(std::span<const std::byte> shuffled, std::size_t value_bytes, std::span<std::byte> values);

}  // namespace tessera
