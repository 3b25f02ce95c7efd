#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/volume/block_journal.h"
#include "io/volume/output_layout.h"

namespace tessera {

/// What is there of a result, and so what a start has to do.
struct ResultState {
  enum class Kind {
    fresh,     ///< nothing, or something that is to be replaced
    going_on,  ///< some blocks are known to be done; maybe none
    complete,
  };
  Kind kind = Kind::fresh;
  std::string instance;                    ///< of the volume that is there
  std::optional<JournalContents> journal;  ///< of this volume; none: no block is known to be done
};

/// Looks at the result's file and its journal, and changes nothing. Says by warnings what was lost.
/// `output_setting`: what names the output, for messages: "infer.output". `restart`: an earlier result, of
/// this job or another, is to be replaced. Errors: UsageError when the file holds something else, or the
/// result of another job (each difference named), or is being written by another process; Error when its
/// journal's head is damaged.
ResultState find_result(const DatasetName& output, const std::string& output_setting,
                        const JobDescription& job, bool restart);

/// A result that blocks can be written into.
struct OpenResult {
  OutputLayout layout;
  std::unique_ptr<BlockJournal> journal;
  JournalContents contents;  ///< of the journal as it was found
};

/// Creates what is missing: the volume first, then its journal, each aside and put in place, so that a kill
/// between any two steps leaves a state that find_result() understands. Errors: Error.
OpenResult open_result(const ResultState& state, OutputVolumeSpec spec, const JobDescription& job,
                       const BlockPlan& blocks);

}  // namespace tessera
