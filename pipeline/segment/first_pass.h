#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/volume/block_journal.h"

namespace tessera {

/// Names a first pass and its files: 64 digits.
std::string first_pass_digest(const JournalHead& head);

/// Removes the graph files, tables and journal of a segmentation, and `folder` if nothing else is in it. What
/// cannot be removed stays.
void remove_first_pass(const std::filesystem::path& folder);

/// The folder of a segmentation's graph files, in the coordinator's process. Its journal says which files are
/// complete.
class FirstPassFolder {
 public:
  /// Keeps the files of an earlier start of the same job and blocks, also where they have histograms and the
  /// job needs none; removes others. Errors: Error.
  FirstPassFolder(std::filesystem::path folder, const JobDescription& job, const BlockPlan& blocks);

  const JournalContents& contents() const { return contents_; }
  std::filesystem::path journal_file() const { return folder_ / "pass1.journal"; }
  /// Opens the journal for appending, and locks it. Errors: as BlockJournal.
  std::unique_ptr<BlockJournal> open() const;
  /// Reads the journal again. Errors: Error.
  void refresh() { contents_ = read_journal(journal_file()); }
  /// Takes blocks out of the journal, so that they are done again. Errors: Error.
  void forget(const std::vector<std::int64_t>& blocks);
  /// The CRC-32C of every block's file; all blocks have records.
  std::vector<std::uint32_t> crcs() const;
  /// As remove_first_pass().
  void remove() { remove_first_pass(folder_); }

 private:
  bool keep_earlier(const BlockPlan& blocks);
  void forget_missing();

  std::filesystem::path folder_;
  JobDescription job_;
  JournalContents contents_;
};

}  // namespace tessera
