#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/base/file_lock.h"
#include "pipeline/blocks/result_state.h"

namespace tessera {

/// A volume of ids that a segmentation writes, in the coordinator's process: its file, lock and journal.
class IdVolume {
 public:
  /// Locks the file. `setting`: the name of its setting, for messages. Errors: as FileLock.
  IdVolume(DatasetName name, std::string setting)
      : name_(std::move(name)), setting_(std::move(setting)), lock_(name_.file) {}

  const DatasetName& name() const { return name_; }
  /// What the volume depends on; to be set before all that follows.
  JobDescription job;

  /// The journal beside the existing file, if both exist. Errors: Error.
  std::optional<JournalContents> earlier_journal() const;
  /// The blocks with which an earlier start of this job began, if any. Errors: Error.
  std::optional<BlockPlan> earlier_blocks() const;
  /// Whether the experiment made the existing volume with other keys, or of another prediction. Logs the
  /// differences.
  bool is_outdated(const std::string& experiment) const;

  /// Examines the existing volume. Errors: as find_result().
  void find(const BlockPlan& blocks, bool replace);
  bool is_complete() const { return state_.kind == ResultState::Kind::complete; }

  /// Creates or opens the volume and its journal. Errors: Error.
  OutputLayout open(const OutputVolumeSpec& spec, const BlockPlan& blocks);
  /// Of the journal when it was opened.
  const JournalContents& contents() const { return result_->contents; }
  std::unique_ptr<BlockJournal> take_journal() { return std::move(result_->journal); }
  /// Gives an attribute whose value was not known at first its value. Errors: Error.
  void complete(const std::string& attribute, const std::string& value) const;

 private:
  DatasetName name_;
  std::string setting_;
  FileLock lock_;
  ResultState state_;
  std::optional<OpenResult> result_;
};

}  // namespace tessera
