#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/volume/block_journal.h"
#include "io/volume/dataset_name.h"
#include "pipeline/blocks/coordinator.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// A block whose voxels differ from those that were written.
struct DamagedBlock {
  std::int64_t id = 0;
  std::string message;
};

/// The findings of reading a result again.
struct ResultCheck {
  std::int64_t blocks = 0, bytes = 0;  ///< read
  std::vector<DamagedBlock> damaged;   ///< by id
};

/// Collective. The journal of a result. Only the root reads it; the other ranks get its blocks only. Errors:
/// UsageError or AgreedError on every rank when no journal exists, or when it belongs to another volume.
JournalContents share_journal(const DatasetName& result, const Communicator& world);

/// Collective. Reads every block that the journal records as done, and compares its CRC-32C. All ranks but
/// the root read, or the root if it is the only rank. `volume`: the result, or a copy of it with other
/// compression. A block is damaged if several attempts to read it fail. Returns the findings on the root,
/// nothing elsewhere. Errors: AgreedError on every rank when the volume cannot be opened; Error on the root
/// alone when a worker is silent.
ResultCheck check_blocks(const DatasetName& volume, const JournalContents& journal,
                         const CoordinatorOptions& limits, const Communicator& world);

/// One line per block, at most `shown`: "block 12 (z [0, 4) ...): ...".
std::string damage_text(const ResultCheck& check, const BlockPlan& blocks, std::size_t shown = 50);

}  // namespace tessera
