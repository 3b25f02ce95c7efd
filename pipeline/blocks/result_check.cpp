#include "pipeline/blocks/result_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/hdf5/block_reader.h"
#include "io/hdf5/checkpoint_file.h"
#include "io/hdf5/volume_reader.h"
#include "workers/mpi/agreement.h"

namespace tessera {

JournalContents share_journal(const DatasetName& result, const Communicator& world) {
  std::string bytes;
  const std::filesystem::path file = journal_of(result.file);
  on_root(world, [&] {
    const std::map<std::string, std::string> attributes = VolumeReader(result).info().attributes;
    const auto instance = attributes.find("instance");
    if (instance == attributes.end()) {
      throw UsageError(fmt::format("{} is no result of 'tessera infer', or of a version without a journal",
                                   result.text()));
    }
    const std::vector<std::byte> read = read_file_bytes(file);
    bytes.assign(reinterpret_cast<const char*>(read.data()), read.size());
    if (parse_journal(read, file).head.instance != instance->second) {
      throw Error(fmt::format("{} belongs to another file than {}: what is done cannot be known",
                              file.string(), result.file.string()));
    }
  });
  world.broadcast(bytes);
  return parse_journal(std::as_bytes(std::span(bytes.data(), bytes.size())), file);
}

ResultCheck check_blocks(const DatasetName& volume, const JournalContents& journal,
                         const Communicator& world) {
  std::unique_ptr<BlockReader> reader;
  on_every_rank(world, [&] { reader = std::make_unique<BlockReader>(volume); });
  const std::size_t count = journal.records.size();
  const auto rank = static_cast<std::size_t>(world.rank()), ranks = static_cast<std::size_t>(world.size());
  std::int64_t sums[2] = {0, 0};
  std::string damaged;  // "id words\n" each
  for (std::size_t i = count * rank / ranks; i < count * (rank + 1) / ranks; ++i) {
    const JournalRecord& record = journal.records[i];
    if (record.outcome != BlockOutcome::done) continue;
    std::string words;
    try {
      const Box box = journal.head.blocks.block(record.block).relative_to(journal.head.blocks.region().begin);
      const std::vector<std::byte> voxels = reader->read(box);
      const std::uint32_t crc = crc32c(voxels);
      if (crc != record.crc)
        words = fmt::format("its checksum is {:08x}, {:08x} was written", crc, record.crc);
      sums[1] += static_cast<std::int64_t>(voxels.size());
    } catch (const std::exception& error) {
      words = message_of(error);
    }
    sums[0] += 1;
    std::replace(words.begin(), words.end(), '\n', ' ');
    if (!words.empty()) damaged += fmt::format("{} {}\n", record.block, words);
  }
  world.sum(std::span<std::int64_t>(sums));
  ResultCheck check{sums[0], sums[1], {}};
  for (const std::string& part : world.all_gather(damaged)) {
    std::istringstream lines(part);
    DamagedBlock block;
    while (lines >> block.id && std::getline(lines >> std::ws, block.words))
      check.damaged.push_back(block);
  }
  return check;
}

std::string damage_text(const ResultCheck& check, const BlockPlan& blocks, std::size_t shown) {
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, check.damaged.size()); ++i) {
    const DamagedBlock& block = check.damaged[i];
    text += fmt::format("\n  block {} ({}): {}", block.id, to_string(blocks.block(block.id)), block.words);
  }
  if (check.damaged.size() > shown) text += fmt::format("\n  and {} more", check.damaged.size() - shown);
  return text;
}

}  // namespace tessera
