#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/run/run_end.h"
#include "pipeline/run/run_folder.h"
#include "workers/mpi/communicator.h"
#include "workers/network/initial_weights.h"

namespace tessera {

/// The setting and the end of the last start of a training, for training.json in the run folder.
struct TrainingRecord {
  struct Worker {
    int rank = 0;
    std::string host, device;
  };
  std::vector<Worker> workers;
  int ranks = 1;
  std::int64_t parameters = 0, tile_side = 0, global_batch = 1;
  std::string precision;     ///< float32 or bfloat16
  std::string resumed_from;  ///< the checkpoint; "" for a new training
  /// JSON: the checkpoint of train.initial_weights, and which layers began with its weights; "" without.
  std::string initial_weights;
  std::string started;  ///< UTC, such as 2026-11-22T19:07:49Z
  RunEnd end = RunEnd::running;
  std::string ended;  ///< TrainingRecorder::end_text()

  /// Replaces the file atomically. Errors: Error.
  void write(const RunFolder& folder) const;
};

/// The text of a checkpoint with TrainingRecord::initial_weights.
inline constexpr const char* kInitialWeights = "initial_weights";

/// TrainingRecord::initial_weights.
std::string initial_weights_json(const std::string& file, const std::string& age,
                                 const InitialWeights& weights);

/// Collective. The record of a training that starts now, with all workers. `device`: a description; "" on a
/// rank that is not a worker.
TrainingRecord start_training_record(const Communicator& world, const std::string& device);

}  // namespace tessera
