#include "workers/results/pack_task.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/base/error.h"
#include "workers/blocks/computed_block.h"

namespace tessera {
namespace {

constexpr std::int64_t kRangeBytes = std::int64_t{4} << 20;
/// The smallest number of ranges for a result with at least so many chunks.
constexpr std::int64_t kFewestRanges = 64;

/// The header of a chunk in a payload; its bytes follow.
struct ChunkHeader {
  std::int64_t index = 0;
  std::uint32_t filter_mask = 0, size = 0;
};

/// The chunks of a range, in order: as stored, then compressed.
struct RangeOfChunks : BlockTask::Input {
  std::int64_t range = 0;
  std::vector<std::byte> bytes;
};

void append(std::vector<std::byte>& payload, const PackedChunk& chunk) {
  const ChunkHeader front{chunk.index, chunk.filter_mask, static_cast<std::uint32_t>(chunk.bytes.size())};
  const auto bytes = std::as_bytes(std::span(&front, 1));
  payload.insert(payload.end(), bytes.begin(), bytes.end());
  payload.insert(payload.end(), chunk.bytes.begin(), chunk.bytes.end());
}

}  // namespace

ChunkRanges::ChunkRanges(const OutputLayout& layout)
    : chunks_(layout.channels * volume_of(layout.grid())),
      length_(std::clamp<std::int64_t>(kRangeBytes / layout.chunk_bytes(), 1,
                                       std::max<std::int64_t>(1, chunks_ / kFewestRanges))) {}

std::int64_t ChunkRanges::count() const {
  return ceil_div(chunks_, length_);
}

std::int64_t ChunkRanges::end(std::int64_t range) const {
  return std::min(chunks_, (range + 1) * length_);
}

PackTask::PackTask(const std::filesystem::path& source, const OutputLayout& layout, int level)
    : reader_(source, layout), layout_(layout), ranges_(layout), level_(level) {}

std::unique_ptr<BlockTask::Input> PackTask::read(std::int64_t range) {
  auto block = std::make_unique<RangeOfChunks>();
  block->range = range;
  const std::int64_t count = ranges_.end(range) - ranges_.begin(range);
  block->bytes.reserve(static_cast<std::size_t>(count * layout_.chunk_bytes()));
  for (std::int64_t i = ranges_.begin(range); i < ranges_.end(range); ++i) {
    const std::span<const std::byte> chunk = reader_.read(i);
    block->bytes.insert(block->bytes.end(), chunk.begin(), chunk.end());
  }
  return block;
}

std::unique_ptr<BlockTask::Pending> PackTask::compute(std::unique_ptr<Input> input,
                                                      const Progress& progress) {
  auto& block = static_cast<RangeOfChunks&>(*input);
  const auto chunk_bytes = static_cast<std::size_t>(layout_.chunk_bytes());
  std::span<const std::byte> rest(block.bytes);
  std::vector<std::byte> payload;
  for (std::int64_t i = ranges_.begin(block.range); !rest.empty(); ++i, rest = rest.subspan(chunk_bytes)) {
    append(payload, pack_chunk(i, rest.first(chunk_bytes), size_of(layout_.type), level_));
    progress(volume_of(layout_.chunk));
  }
  block.bytes = std::move(payload);
  return std::make_unique<ComputedBlock>(std::move(input));
}

BlockReport PackTask::write(std::unique_ptr<Input> input) {
  auto& block = static_cast<RangeOfChunks&>(*input);
  const std::int64_t chunks = ranges_.end(block.range) - ranges_.begin(block.range);
  return {block.range, chunks * volume_of(layout_.chunk), 0, BlockOutcome::done, std::move(block.bytes)};
}

std::vector<PackedChunk> packed_chunks_of(std::span<const std::byte> payload) {
  std::vector<PackedChunk> chunks;
  while (!payload.empty()) {
    ChunkHeader front;
    if (payload.size() < sizeof front) throw Error("the payload of packed chunks is truncated");
    std::memcpy(&front, payload.data(), sizeof front);
    payload = payload.subspan(sizeof front);
    if (payload.size() < front.size) throw Error("the payload of packed chunks is truncated");
    const auto bytes = payload.first(front.size);
    chunks.push_back({front.index, front.filter_mask, {bytes.begin(), bytes.end()}});
    payload = payload.subspan(front.size);
  }
  return chunks;
}

}  // namespace tessera
