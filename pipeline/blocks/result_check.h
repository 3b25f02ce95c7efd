#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/volume/block_journal.h"
#include "io/volume/dataset_name.h"
#include "pipeline/blocks/coordinator.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// A block whose voxels are not those that were written.
struct DamagedBlock {
  std::int64_t id = 0;
  std::string words;
};

/// What a re-reading found.
struct ResultCheck {
  std::int64_t blocks = 0, bytes = 0;  ///< read
  std::vector<DamagedBlock> damaged;   ///< by id
};

/// Collective. The journal of a result, read by the root alone. The other ranks get its blocks only.
/// Errors: UsageError or AgreedError on every rank when none exists, or when it belongs to another volume.
JournalContents share_journal(const DatasetName& result, const Communicator& world);

/// Collective. Reads every block that the journal calls done, on all ranks but the root (alone: there), and
/// compares with its CRC-32C. `volume`: the result, or a copy of it with other compression. A block that
/// cannot be read in several attempts is damaged. Returns what was found on the root, nothing elsewhere.
/// Errors: AgreedError on every rank when the volume cannot be opened; Error on the root alone when a worker
/// is silent.
ResultCheck check_blocks(const DatasetName& volume, const JournalContents& journal,
                         const CoordinatorOptions& limits, const Communicator& world);

/// "block 12 (z [0, 4) ...): ..." a line each, at most `shown`.
std::string damage_text(const ResultCheck& check, const BlockPlan& blocks, std::size_t shown = 50);

}  // namespace tessera
