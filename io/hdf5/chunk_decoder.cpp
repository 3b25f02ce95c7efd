#include "io/hdf5/chunk_decoder.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <array>
#include <cstring>
#include <memory>
#include <new>

#include "io/base/error.h"

namespace tessera {
namespace {

std::vector<H5Z_filter_t> filters_of(hid_t creation_list) {
  std::vector<H5Z_filter_t> filters;
  for (int i = 0; i < H5Pget_nfilters(creation_list); ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    std::array<char, 8> name{};
    filters.push_back(H5Pget_filter2(creation_list, static_cast<unsigned>(i), &flags, &values, nullptr,
                                     name.size(), name.data(), &config));
  }
  return filters;
}

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

std::vector<std::byte> inflate_chunk(const std::vector<std::byte>& stored, std::size_t chunk_bytes) {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) throw std::bad_alloc();
  std::vector<std::byte> values(chunk_bytes);
  // With a null pointer for the actual size, libdeflate fails unless it is that of the whole chunk.
  if (libdeflate_zlib_decompress(decompressor.get(), stored.data(), stored.size(), values.data(),
                                 values.size(), nullptr) != LIBDEFLATE_SUCCESS) {
    throw Error(fmt::format("a chunk of {} compressed bytes does not unpack to its {} (is the file damaged?)",
                            stored.size(), chunk_bytes));
  }
  return values;
}

}  // namespace

bool ChunkDecoder::can_decode(hid_t creation_list) {
  for (const H5Z_filter_t filter : filters_of(creation_list)) {
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE) return false;
  }
  return true;
}

ChunkDecoder::ChunkDecoder(hid_t creation_list, std::size_t value_bytes, std::size_t chunk_bytes)
    : filters_(filters_of(creation_list)), value_bytes_(value_bytes), chunk_bytes_(chunk_bytes) {}

std::vector<std::byte> ChunkDecoder::decode(std::vector<std::byte> stored, std::uint32_t skipped) const {
  for (std::size_t i = filters_.size(); i-- > 0;) {
    if ((skipped >> i & 1U) != 0) continue;
    if (filters_[i] == H5Z_FILTER_DEFLATE) {
      stored = inflate_chunk(stored, chunk_bytes_);
    } else if (value_bytes_ > 1) {
      std::vector<std::byte> values(stored.size());
      unshuffle(stored, value_bytes_, values);
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
