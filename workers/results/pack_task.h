#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "io/hdf5/packed_volume.h"
#include "io/volume/output_layout.h"
#include "workers/blocks/block_task.h"

namespace tessera {

/// The chunks of a result, by index, divided into ranges of about 4 MiB: the blocks of packing. Small results
/// have smaller ranges, so that every worker gets some.
class ChunkRanges {
 public:
  explicit ChunkRanges(const OutputLayout& layout);

  std::int64_t count() const;
  std::int64_t chunks() const { return chunks_; }
  /// The first chunk of a range, and the one after its last.
  std::int64_t begin(std::int64_t range) const { return range * length_; }
  std::int64_t end(std::int64_t range) const;

 private:
  std::int64_t chunks_, length_;
};

/// Compresses chunks. The report's payload holds the compressed chunks of a range. The coordinator's owner
/// writes them, because only one process can add chunks to an HDF5 file.
class PackTask : public BlockTask {
 public:
  /// `level`: of gzip, 1 to 9. Errors: Error when `source` cannot be opened.
  PackTask(const std::filesystem::path& source, const OutputLayout& layout, int level);

  std::unique_ptr<Input> read(std::int64_t range) override;
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override;
  BlockReport write(std::unique_ptr<Input> input) override;

 private:
  ChunkReader reader_;
  OutputLayout layout_;
  ChunkRanges ranges_;
  int level_;
};

/// The chunks in a report's payload. Errors: Error when the payload is truncated.
std::vector<PackedChunk> packed_chunks_of(std::span<const std::byte> payload);

}  // namespace tessera
