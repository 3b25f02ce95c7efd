#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "io/base/durable_file.h"
#include "io/geometry/block_plan.h"

namespace tessera {

/// How a block ended. The journal knows the first two; a block that failed has no record.
enum class BlockOutcome : std::uint32_t { done = 1, skipped = 2, failed = 3 };

/// All that the bytes of a result depend on, as words: {"infer.tile", "572"}.
using JobDescription = std::map<std::string, std::string>;

/// SHA-256 of a description, 64 hexadecimal digits.
std::string digest_of(const JobDescription& job);
/// What differs, key by key: "infer.tile: 572 then, 1020 now"; empty when equal.
std::vector<std::string> differences_between(const JobDescription& then, const JobDescription& now);
/// A description as the JSON text that the result's attribute holds, and back. Errors: Error.
std::string json_of(const JobDescription& job);
JobDescription job_from_json(const std::string& text, const std::string& name);

/// What a journal says of itself.
struct JournalHead {
  std::string instance;  ///< 32 random hexadecimal digits that the result's file carries too
  JobDescription job;
  BlockPlan blocks;
};

struct JournalRecord {
  std::int64_t block = 0;
  BlockOutcome outcome = BlockOutcome::done;
  std::uint32_t crc = 0;  ///< CRC-32C of the block's voxels, row-major; 0 for skipped blocks
};

/// What a journal holds.
struct JournalContents {
  JournalHead head;
  std::vector<JournalRecord> records;  ///< one for each block that is known, by block
  std::int64_t starts = 0;             ///< how often the job was started
  std::int64_t damaged = 0;            ///< records that are not what was written, with good ones behind them
  std::int64_t torn_bytes = 0;         ///< behind the last good record: of an append that a kill cut short
  std::int64_t good_bytes = 0;         ///< up to the end of the last good record

  std::int64_t blocks_left() const { return head.blocks.count() - static_cast<std::int64_t>(records.size()); }
  /// The blocks that have no record, in their order.
  std::vector<std::int64_t> unknown_blocks() const;
};

/// `<result's file>.journal`.
std::filesystem::path journal_of(const std::filesystem::path& result);

/// Reads a journal (docs/files.md has its format). Damaged records are left out, their blocks unknown.
/// Errors: Error when there is none or its head is damaged.
JournalContents read_journal(const std::filesystem::path& file);
/// The same from the bytes of the file. `file` is for messages.
JournalContents parse_journal(std::span<const std::byte> bytes, const std::filesystem::path& file);

/// Writes a journal of `head` and `records`, aside and put in place. Errors: Error.
void write_journal(const std::filesystem::path& file, const JournalHead& head,
                   const std::vector<JournalRecord>& records, std::int64_t starts);

/// Takes the journal for this process as long as the descriptor is open. Errors: UsageError when another
/// process has it, Error. Where the file system has no locks it is not held, which only lets two processes do
/// the same work twice.
FileDescriptor lock_journal(const std::filesystem::path& file);

/// A journal that is added to, by one thread of one process at a time. A record is in the file (safe from the
/// death of any process) when append() returns, and on the disk (safe from the machine's) within
/// `kCommitEvery_s`: one fdatasync by a thread of its own for all that came meanwhile.
class BlockJournal {
 public:
  static constexpr double kCommitEvery_s = 0.1;

  /// Opens the journal that read_journal() gave `contents` of, cuts off what is torn, reserves the room for
  /// every block's record, and notes that the job was started. Errors: as lock_journal().
  BlockJournal(const std::filesystem::path& file, const JournalContents& contents);
  BlockJournal(const BlockJournal&) = delete;
  BlockJournal& operator=(const BlockJournal&) = delete;
  /// Commits; errors are lost here: call commit() first.
  ~BlockJournal();

  /// The voxels of `record.block` must be on the disk. Errors: Error, also of an earlier commit.
  void append(const JournalRecord& record);
  /// Returns when every record is on the disk. Errors: Error.
  void commit();

 private:
  void append_bytes(const std::vector<std::byte>& bytes);
  void commit_now_and_then();

  std::filesystem::path path_;
  FileDescriptor file_;
  std::uint32_t seed_ = 0;
  std::int64_t head_bytes_ = 0, end_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool dirty_ = false, syncing_ = false, hurry_ = false, closing_ = false;  // under mutex_
  std::exception_ptr failure_;                                              // under mutex_
  std::thread committer_;
};

}  // namespace tessera
