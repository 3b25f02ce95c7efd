#include "io/hdf5/chunk_decoder.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"

namespace tessera {
namespace {

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

[[noreturn]] void throw_not_unpacked(std::size_t stored, std::size_t chunk_bytes) {
  throw Error(fmt::format("a chunk of {} compressed bytes does not unpack to its {} (is the file damaged?)",
                          stored, chunk_bytes));
}

std::vector<std::byte> inflate_chunk(const std::vector<std::byte>& stored, std::size_t chunk_bytes) {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) throw std::bad_alloc();
  // Deflate packs at most 1032 bytes into one: a damaged shape must not ask for more memory.
  if (chunk_bytes / 1032 > stored.size()) throw_not_unpacked(stored.size(), chunk_bytes);
  std::vector<std::byte> values(chunk_bytes);
  // With a null pointer for the actual size, libdeflate fails unless it is that of the whole chunk.
  if (libdeflate_zlib_decompress(decompressor.get(), stored.data(), stored.size(), values.data(),
                                 values.size(), nullptr) != LIBDEFLATE_SUCCESS)
    throw_not_unpacked(stored.size(), chunk_bytes);
  return values;
}

/// Whether every chunk passes the filters. H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS exempts the chunks that reach
/// beyond the shape, without a bit in their filter mask.
bool filters_every_chunk(hid_t creation_list) {
  unsigned options = 0;
  check_hdf5(H5Pget_chunk_opts(creation_list, &options), "cannot read the chunk options");
  return options == 0;
}

}  // namespace

std::vector<ChunkFilter> filters_of(hid_t creation_list) {
  const std::string what = "cannot read the filters";
  const auto count = static_cast<unsigned>(check_hdf5(H5Pget_nfilters(creation_list), what));
  std::vector<ChunkFilter> filters;
  for (unsigned i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::array<unsigned, 32> parameters{};
    std::size_t parameter_count = parameters.size();
    std::array<char, 64> name{};
    const H5Z_filter_t filter = H5Pget_filter2(creation_list, i, &flags, &parameter_count, parameters.data(),
                                               name.size() - 1, name.data(), &config);
    check_hdf5(filter, what);
    const auto kept = static_cast<std::ptrdiff_t>(std::min(parameter_count, parameters.size()));
    filters.push_back({filter, name.data(), {parameters.begin(), parameters.begin() + kept}});
  }
  return filters;
}

std::string filter_text(const ChunkFilter& filter) {
  switch (filter.id) {
    case H5Z_FILTER_DEFLATE:
      return "gzip";
    case H5Z_FILTER_SHUFFLE:
      return "shuffle";
    case 307:
      return "bzip2";
    case 32000:
      return "lzf";
    case 32001:
      return "blosc";
    case 32004:
      return "lz4";
    case 32008:
      return "bitshuffle";
    case 32013:
      return "zfp";
    case 32015:
      return "zstd";
    case 32026:
      return "blosc2";
    default:  // registered ids: https://github.com/HDFGroup/hdf5_plugins
      return filter.name.empty() ? fmt::format("filter {}", static_cast<int>(filter.id)) : filter.name;
  }
}

bool ChunkDecoder::can_decode(hid_t creation_list) {
  int gzip = 0;
  for (const ChunkFilter& filter : filters_of(creation_list)) {
    const bool shuffle =
        filter.id == H5Z_FILTER_SHUFFLE && !filter.parameters.empty() && filter.parameters.front() > 0;
    if (filter.id == H5Z_FILTER_DEFLATE) ++gzip;
    if (filter.id != H5Z_FILTER_DEFLATE && !shuffle) return false;
  }
  // The size of what comes out of an inner gzip is known only to the library.
  return gzip <= 1 && filters_every_chunk(creation_list);
}

ChunkDecoder::ChunkDecoder(hid_t creation_list, std::size_t chunk_bytes)
    : filters_(filters_of(creation_list)), chunk_bytes_(chunk_bytes) {}

std::vector<std::byte> ChunkDecoder::decode(std::vector<std::byte> stored, std::uint32_t skipped) const {
  for (std::size_t i = filters_.size(); i-- > 0;) {
    if ((skipped >> i & 1U) != 0) continue;
    if (filters_[i].id == H5Z_FILTER_DEFLATE) {
      stored = inflate_chunk(stored, chunk_bytes_);
    } else if (const std::size_t value_bytes = filters_[i].parameters.front(); value_bytes > 1) {
      std::vector<std::byte> values(stored.size());
      unshuffle(stored, value_bytes, values);
      stored = std::move(values);
    }
  }
  if (stored.size() != chunk_bytes_) {
    throw Error(fmt::format("a chunk holds {} bytes instead of {} (is the file damaged?)", stored.size(),
                            chunk_bytes_));
  }
  return stored;
}

void unshuffle(std::span<const std::byte> shuffled, std::size_t value_bytes, std::span<std::byte> values) {
  const std::size_t count = shuffled.size() / value_bytes;
  for (std::size_t byte = 0; byte < value_bytes; ++byte) {
    for (std::size_t i = 0; i < count; ++i)
      values[i * value_bytes + byte] = shuffled[byte * count + i];
  }
  const std::size_t whole = count * value_bytes;
  if (whole < shuffled.size())
    std::memcpy(values.data() + whole, shuffled.data() + whole, shuffled.size() - whole);
}

}  // namespace tessera
