#include "workers/results/verify_task.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "workers/blocks/computed_block.h"

namespace tessera {
namespace {

struct StoredBlock : BlockTask::Input {
  std::int64_t id = 0, voxels = 0;
  std::vector<std::byte> bytes;
  std::uint32_t crc = 0;
};

}  // namespace

std::unique_ptr<BlockTask::Input> VerifyTask::read(std::int64_t id) {
  const Box box = blocks_.block(id);
  auto block = std::make_unique<StoredBlock>();
  block->id = id;
  block->voxels = box.voxels();
  block->bytes = reader_.read(box.relative_to(blocks_.region().begin));
  return block;
}

std::unique_ptr<BlockTask::Pending> VerifyTask::compute(std::unique_ptr<Input> input,
                                                        const Progress& progress) {
  auto& block = static_cast<StoredBlock&>(*input);
  block.crc = crc32c(block.bytes);
  progress(block.voxels);
  return std::make_unique<ComputedBlock>(std::move(input));
}

BlockReport VerifyTask::write(std::unique_ptr<Input> input) {
  const auto& block = static_cast<const StoredBlock&>(*input);
  const auto size = static_cast<std::int64_t>(block.bytes.size());
  const auto payload = std::as_bytes(std::span(&size, 1));
  return {block.id, block.voxels, block.crc, BlockOutcome::done, {payload.begin(), payload.end()}};
}

std::int64_t bytes_read_of(const BlockReport& report) {
  std::int64_t size = 0;
  if (report.payload.size() != sizeof size) throw Error("the report of a verified block is truncated");
  std::memcpy(&size, report.payload.data(), sizeof size);
  return size;
}

}  // namespace tessera
