#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/volume/block_journal.h"
#include "io/volume/output_layout.h"

namespace tessera {

/// The state of an existing result. It determines what a start has to do.
struct ResultState {
  enum class Kind {
    fresh,     ///< no result, or one that is to be replaced
    going_on,  ///< zero or more blocks are recorded as done
    complete,
  };
  Kind kind = Kind::fresh;
  std::string instance;                    ///< of the existing volume
  std::optional<JournalContents> journal;  ///< of this volume; none: no block is recorded as done
};

/// Errors: UsageError when the existing file of a result holds datasets or links beside it and its raw
/// volume's link; they are named. `output_setting`: as for find_result().
void require_nothing_else(const DatasetName& output, const std::string& output_setting);

/// Examines the result's file and its journal, without changes. Logs a warning for each loss.
/// `output_setting`: the name of the output's setting, for messages: "infer.output". `blocks`: the blocks of
/// this job. `notes`: of the job, for messages. `restart`: an existing result, of this job or another, is to
/// be replaced; not where its file holds other data. Errors: UsageError when the file holds other data, or
/// the result of another job (each difference named), or when another process is writing it; Error when the
/// header of its journal is damaged.
ResultState find_result(const DatasetName& output, const std::string& output_setting,
                        const JobDescription& job, const JobNotes& notes, const BlockPlan& blocks,
                        bool restart);

/// A result that blocks can be written to.
struct OpenResult {
  OutputLayout layout;
  std::unique_ptr<BlockJournal> journal;
  JournalContents contents;  ///< of the journal when it was opened
};

/// Creates the missing files: the volume first, then its journal. Each is written under a temporary name and
/// renamed. So after a kill between any two steps, find_result() recognises the state. Errors: Error.
OpenResult open_result(const ResultState& state, OutputVolumeSpec spec, const JobDescription& job,
                       const JobNotes& notes, const BlockPlan& blocks);

}  // namespace tessera
