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

/// How a block ended. The journal has records of the first two; a block that failed has none.
enum class BlockOutcome : std::uint32_t { done = 1, skipped = 2, failed = 3 };

/// Everything that the bytes of a result depend on, as text: {"infer.tile", "572"}.
using JobDescription = std::map<std::string, std::string>;
/// Remarks on some of its values, for messages only.
using JobNotes = std::map<std::string, std::string>;

/// SHA-256 of a description, 64 hexadecimal digits.
std::string digest_of(const JobDescription& job);
/// The differences, key by key: "infer.tile: 572 then, 1020 now"; empty when equal. A value's note follows it
/// in brackets.
std::vector<std::string> differences_between(const JobDescription& then, const JobDescription& now,
                                             const JobNotes& then_notes = {}, const JobNotes& now_notes = {});
/// A description as JSON, as in the result's attribute, and back. `name` is for messages. Errors: Error.
std::string json_of(const JobDescription& job);
JobDescription job_from_json(const std::string& text, const std::string& name);

/// The head of a journal.
struct JournalHead {
  std::string instance;  ///< 32 random hexadecimal digits, the same in the result's file
  JobDescription job;
  BlockPlan blocks;
};

struct JournalRecord {
  std::int64_t block = 0;
  BlockOutcome outcome = BlockOutcome::done;
  std::uint32_t crc = 0;  ///< CRC-32C of the block's voxels, row-major; 0 for skipped blocks
};

/// The contents of a journal.
struct JournalContents {
  JournalHead head;
  std::vector<JournalRecord> records;  ///< the last of each block that has one, ordered by block
  std::int64_t starts = 0;             ///< how often the job was started
  std::int64_t damaged = 0;            ///< damaged records with valid ones behind them
  std::int64_t torn_bytes = 0;         ///< behind the last valid record: a kill interrupted an append
  std::int64_t good_bytes = 0;         ///< up to the end of the last valid record

  std::int64_t blocks_left() const { return head.blocks.count() - static_cast<std::int64_t>(records.size()); }
  /// The ids of the blocks without a record, in ascending order.
  std::vector<std::int64_t> unknown_blocks() const;
};

/// The journal's file: `<result's file>.journal`. Where that name would be longer than 255 bytes: its first
/// 180 bytes, 16 digits of its SHA-256 and `.journal`. Of a result behind a symbolic link it is beside the
/// file that the link leads to, unless only the one beside the link exists. Errors: as resolve_links().
std::filesystem::path journal_of(const std::filesystem::path& result);

/// Reads a journal (docs/files.md has its format). Damaged records are ignored: their blocks have no record.
/// Errors: Error when the file is missing or its head is damaged: also where its checksum matches, but a
/// field has no valid value.
JournalContents read_journal(const std::filesystem::path& file);
/// The same, from the bytes of the file. `file` is for messages.
JournalContents parse_journal(std::span<const std::byte> bytes, const std::filesystem::path& file);

/// Writes a journal under another name, then renames it. Errors: Error.
void write_journal(const std::filesystem::path& file, const JournalHead& head,
                   const std::vector<JournalRecord>& records, std::int64_t starts);

/// Locks the journal for this process as long as the descriptor is open. A file system without locks cannot
/// lock it; then two processes may do the same work twice, with the same result.
/// Errors: UsageError when another process has locked it, Error.
FileDescriptor lock_journal(const std::filesystem::path& file);

/// A journal for appending, by one thread of one process. When append() returns, the record is in the file
/// and survives the death of any process. Within `kCommitEvery_s` it is on the disk and survives a crash of
/// the machine: a separate thread calls fdatasync once for all records of that time.
class BlockJournal {
 public:
  static constexpr double kCommitEvery_s = 0.1;

  /// Opens and locks the journal whose `contents` read_journal() returned. Cuts off an interrupted append,
  /// reserves disk space for the record of every block, and appends a record of this start.
  /// Errors: as lock_journal().
  BlockJournal(const std::filesystem::path& file, const JournalContents& contents);
  BlockJournal(const BlockJournal&) = delete;
  BlockJournal& operator=(const BlockJournal&) = delete;
  /// Commits, but reports no error: call commit() first.
  ~BlockJournal();

  /// The voxels of `record.block` must be on the disk already. Errors: Error, also of an earlier commit.
  void append(const JournalRecord& record);
  /// Returns when every record is on the disk. Errors: Error.
  void commit();

 private:
  void append_bytes(const std::vector<std::byte>& bytes);
  void commit_periodically();

  std::filesystem::path path_;
  FileDescriptor file_;
  std::uint32_t seed_ = 0;
  std::int64_t head_bytes_ = 0, end_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool dirty_ = false, syncing_ = false, hurry_ = false, closing_ = false;  // under mutex_
  std::exception_ptr failure_;                                              // under mutex_
  std::jthread committer_;
};

}  // namespace tessera
