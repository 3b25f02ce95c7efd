#pragma once

#include <cstdint>

#include "pipeline/blocks/block_queue.h"

namespace tessera {

/// The workers of a simulated job and the times of their blocks. A block's time is that of its prediction. It
/// depends on the block and its worker, not on the history.
struct SimulatedWorkers {
  int count = 16;
  std::int64_t blocks = 960;
  double block_s = 4;                     ///< mean over the blocks, on a worker of speed 1
  double log_deviation = 0;               ///< of the blocks' times, log-normal
  double read = 0, write = 0;             ///< of a block, as shares of its prediction's time
  double background = 0;                  ///< share of the blocks, the first ones: these are skipped
  double skip_s = 5e-3;                   ///< for each
  double slow_share = 0, slow_speed = 1;  ///< the share of slow workers, and their speed
  int stragglers = 0;
  double straggler_speed = 0.5;
  double pulse_every_s = 0.5;
  double pick_up_s = 1e-3;  ///< the longest time between two looks of a worker for messages
  std::uint64_t seed = 1;
};

/// The costs of rank 0 and the network. Rank 0 handles one message after another: it receives, asks the
/// coordinator, writes the journal and replies.
struct SimulatedCosts {
  double receive_s = 0, send_s = 0;        ///< of rank 0's time for a message
  double look_s = 0, look_per_rank_s = 0;  ///< of rank 0's time, to look for one
  double append_s = 0;                     ///< of a journal record
  double sync_s = 0;  ///< of the journal's fdatasync; a record that arrives meanwhile waits for its end
  double sync_every_s = 0.1;
  double latency_s = 0;      ///< of the network, one way
  bool polite_wait = false;  ///< rank 0 sleeps as PoliteWait does without messages
  bool policy = false;       ///< the measured time of the coordinator's code counts
};

/// The result of a simulated job.
struct SimulatedRun {
  bool finished =
      false;  ///< else stopped: rank 0 is too slow for its messages, and falls behind more and more
  double elapsed_s = 0;  ///< from the first assignment to the last worker's end
  double idle = 0;  ///< share of the workers' time in which they predict nothing: the sum of the next three
  double idle_start = 0;      ///< before a worker's first block
  double idle_between = 0;    ///< between its blocks
  double idle_tail = 0;       ///< after its last one
  double rank0_busy = 0;      ///< share of the time
  double policy_s = 0;        ///< all of the coordinator's code
  std::int64_t messages = 0;  ///< that rank 0 has heard
  std::int64_t blocks = 0;    ///< done
  double predicted_s = 0;     ///< all workers together
};

/// Simulates a job with a virtual clock: the real `Coordinator`, called as in serve_workers(), and workers
/// that read, predict and write as the real ones. Equal arguments give equal results, unless `costs.policy`
/// is set.
SimulatedRun simulate(const SimulatedWorkers& workers, const SimulatedCosts& costs,
                      const BlockQueueOptions& queue = {});

/// The idle share if all workers take blocks from one queue without any cost. What remains is due to whole
/// blocks, whose times are not known in advance.
double idle_of_one_line(const SimulatedWorkers& workers);

}  // namespace tessera
