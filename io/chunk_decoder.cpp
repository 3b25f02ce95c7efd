#include "io/chunk_decoder.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstring>

#include "io/error.h"

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

std::vector<std::byte> inflate_chunk(const std::vector<std::byte>& stored, std::size_t chunk_bytes) {
  std::vector<std::byte> values(chunk_bytes);
  uLongf size = chunk_bytes;
  const int status = uncompress(reinterpret_cast<Bytef*>(values.data()), &size,
                                reinterpret_cast<const Bytef*>(stored.data()), stored.size());
  if (status != Z_OK || size != chunk_bytes) {
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
