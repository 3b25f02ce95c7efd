#pragma once

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A filter of a dataset, in the order of writing.
struct ChunkFilter {
  H5Z_filter_t id = H5Z_FILTER_NONE;
  std::string name;                  ///< as stored; often empty
  std::vector<unsigned> parameters;  ///< of shuffle: the size of a value
};

/// Errors: Error.
std::vector<ChunkFilter> filters_of(hid_t creation_list);

/// The filter's name, such as "gzip", "lzf" or "filter 32015".
std::string filter_text(const ChunkFilter& filter);

/// Reverses the filters gzip and shuffle of one stored chunk, like the HDF5 library, which can use only one
/// thread.
class ChunkDecoder {
 public:
  /// Whether the filters of a dataset and its chunk options are known here. Errors: Error.
  static bool can_decode(hid_t creation_list);
  /// `chunk_bytes`: size of a whole chunk in memory. Errors: Error.
  ChunkDecoder(hid_t creation_list, std::size_t chunk_bytes);

  /// The chunk's values. `skipped` is the chunk's filter mask: if bit i is set, filter i was not applied to
  /// it. Thread-safe. Errors: Error when the bytes are damaged.
  std::vector<std::byte> decode(std::vector<std::byte> stored, std::uint32_t skipped) const;

 private:
  std::vector<ChunkFilter> filters_;
  std::size_t chunk_bytes_;
};

/// Reverses HDF5's shuffle: byte i of value j is at i * count + j. Bytes that do not fill a value stay at the
/// end.
void unshuffle(std::span<const std::byte> shuffled, std::size_t value_bytes, std::span<std::byte> values);

}  // namespace tessera
