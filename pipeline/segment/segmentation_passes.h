#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "pipeline/blocks/block_run.h"
#include "pipeline/segment/first_pass.h"
#include "pipeline/segment/id_volume.h"
#include "pipeline/segment/planned_start.h"
#include "pipeline/segment/segmentation_record.h"
#include "workers/blocks/block_task.h"
#include "workers/segment/segment_job.h"
#include "workers/segment/volume_graph.h"

namespace tessera {

/// Runs the passes over the blocks. Every rank has one.
class SegmentationPasses {
 public:
  /// The arguments must outlive this. `record` is used on the root only.
  SegmentationPasses(const PlannedStart& planned, SegmentationRecord& record)
      : planned_(planned), record_(record) {}

  /// Collective. The first pass over the blocks that the folder's journal lacks. Returns this rank's share of
  /// the graph files; blocks whose files are bad are computed again, once. `folder`: on the root, null
  /// elsewhere. Errors: those of the blocks; StoppedEarly.
  GraphShare first(const SegmentJob& job, FirstPassFolder* folder);
  /// Collective. The pass that writes the objects, over the blocks that the volume's journal lacks. `volume`:
  /// on the root, null elsewhere and where it is complete. Errors: likewise.
  void objects(const SegmentJob& job, IdVolume* volume);
  /// Collective. Likewise the supervoxels; `job` has their output.
  void supervoxels(const SegmentJob& job, IdVolume* volume);

 private:
  /// What a pass is called: in the record, its number, and of a finished block.
  struct Names {
    const char* step;
    int number;
    const char* done;
  };
  /// `make_task`: on a worker. `journal`: on the root, null elsewhere and where nothing is left; opened if
  /// blocks are left.
  void run(const Names& names, const std::function<std::unique_ptr<BlockTask>()>& make_task,
           const JournalContents* journal, const std::function<std::unique_ptr<BlockJournal>()>& open,
           BlockRunReport& report);
  void relabel(const Names& names, const SegmentJob& job, const std::filesystem::path& tables,
               IdVolume* volume, BlockRunReport& report);
  BlockJob block_job(const JournalContents& journal, const Names& names) const;
  void compute_again(const SegmentJob& job, const std::vector<std::int64_t>& blocks, int tries,
                     FirstPassFolder& folder) const;

  const PlannedStart& planned_;
  SegmentationRecord& record_;
};

}  // namespace tessera
