#include "pipeline/segment/first_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/log.h"
#include "io/base/sha256.h"
#include "io/graph/block_graph_file.h"
#include "pipeline/segment/segmentation_plan.h"

namespace tessera {

std::string first_pass_digest(const JournalHead& head) {
  return sha256_of(digest_of(head.job) + head.instance);
}

void remove_first_pass(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder)) return;
  std::vector<std::filesystem::path> own;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".block") != std::string::npos || name.starts_with("tables") ||
        name.find("pass1.journal") != std::string::npos)
      own.push_back(entry.path());
  }
  std::error_code ignored;  // what cannot be removed is overwritten, or stays
  for (const std::filesystem::path& file : own)
    std::filesystem::remove(file, ignored);
  if (std::filesystem::is_empty(folder, ignored)) std::filesystem::remove(folder, ignored);
}

FirstPassFolder::FirstPassFolder(std::filesystem::path folder, const JobDescription& job,
                                 const BlockPlan& blocks)
    : folder_(std::move(folder)), job_(job) {
  std::filesystem::create_directories(folder_);
  if (keep_earlier(blocks)) {
    forget_missing();
    if (contents_.blocks_left() > 0 && contents_.head.job != job_) forget({});
    return;
  }
  remove();
  std::filesystem::create_directories(folder_);
  write_journal(journal_file(), {random_hex(16), job, blocks}, {}, 0);
  refresh();
}

/// Whether the folder holds files of this job. Errors: Error when that cannot be read; they stay then.
bool FirstPassFolder::keep_earlier(const BlockPlan& blocks) {
  if (!std::filesystem::exists(journal_file())) return false;
  const std::vector<std::byte> bytes = read_file_bytes(journal_file());  // a failed read is no damage
  try {
    contents_ = parse_journal(bytes, journal_file());
  } catch (const Error& error) {
    spdlog::warn("{}: the graphs of all blocks are computed again", error.what());
    return false;
  }
  const BlockPlan& then = contents_.head.blocks;
  return first_pass_differences(contents_.head.job, job_).empty() && then.region() == blocks.region() &&
         then.block_shape() == blocks.block_shape();
}

void FirstPassFolder::forget_missing() {
  std::vector<std::int64_t> missing;
  for (const JournalRecord& record : contents_.records) {
    if (!std::filesystem::exists(block_graph_file(folder_, record.block))) missing.push_back(record.block);
  }
  if (missing.empty()) return;
  spdlog::warn("{}: the graph files of {} blocks are missing, such as block {}; they are computed again",
               folder_.string(), missing.size(), missing.front());
  forget(missing);
}

std::unique_ptr<BlockJournal> FirstPassFolder::open() const {
  return std::make_unique<BlockJournal>(journal_file(), contents_);
}

void FirstPassFolder::forget(const std::vector<std::int64_t>& blocks) {
  std::vector<JournalRecord> kept = contents_.records;
  std::erase_if(kept, [&](const JournalRecord& record) {
    return std::ranges::find(blocks, record.block) != blocks.end();
  });
  JournalHead head = contents_.head;
  head.job = job_;  // the blocks that follow have no histograms that it does not need
  write_journal(journal_file(), head, kept, contents_.starts);
  refresh();
}

std::vector<std::uint32_t> FirstPassFolder::crcs() const {
  std::vector<std::uint32_t> crcs(static_cast<std::size_t>(contents_.head.blocks.count()));
  for (const JournalRecord& record : contents_.records)
    crcs[static_cast<std::size_t>(record.block)] = record.crc;
  return crcs;
}

}  // namespace tessera
