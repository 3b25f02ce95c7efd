#pragma once

#include <cstdint>
#include <utility>

#include "pipeline/run/run_folder.h"

namespace tessera {

/// What a training does with a run folder that holds one already.
enum class ExistingRun {
  reject,     ///< UsageError
  resume,     ///< continue from its newest checkpoint; without one, start a new training
  overwrite,  ///< replace it when the first checkpoint of the new training is complete
};

/// The folder in which a training writes its checkpoints, previews, metrics and records: the run folder, or,
/// for a training that replaces an older one, `next_training` in it until its first checkpoint is complete.
/// So after a kill at any point the run folder holds the old training or the new one, each with its
/// checkpoints.
class TrainingPlace {
 public:
  explicit TrainingPlace(RunFolder run) : run_(std::move(run)), current_(run_) {}

  /// The folder of the files that are written now.
  const RunFolder& current() const { return current_; }
  bool replaces() const { return replaces_; }

  /// For the root, which has locked the run folder. Ends what a killed take_over() left, and decides where
  /// the training writes. Changes nothing of an older training. `bytes`: of the checkpoints. Errors:
  /// UsageError when the folder holds a training and `existing` is reject; Error, also when the disk has no
  /// room for the checkpoints beside the old ones.
  void prepare(ExistingRun existing, std::int64_t bytes);

  /// For the other ranks: as the root decided.
  void follow(bool replaces);

  /// For the rank that writes the checkpoints, after the first one is complete: puts the new training in the
  /// place of the old one, which is removed last. Errors: Error.
  void take_over();

  /// For a rank that was told that another one has called take_over().
  void taken_over();

  /// Removes what a training that ended before its first checkpoint wrote; the old training stays.
  void give_up() noexcept;

  /// Of a training that stopped before its first checkpoint: the next start with `resume` begins it again.
  void leave() noexcept { replaces_ = false; }

 private:
  RunFolder run_, current_;
  bool replaces_ = false;
};

}  // namespace tessera
