#pragma once

#include <cstdint>

#include "pipeline/blocks/block_queue.h"

namespace tessera {

/// The workers of a simulated job and what their blocks take. The time of a block is that of its prediction;
/// it depends on the block and its worker, not on who got what before.
struct SimulatedWorkers {
  int count = 16;
  std::int64_t blocks = 960;
  double block_s = 4;                     ///< mean over the blocks, on a worker of speed 1
  double log_deviation = 0;               ///< of the blocks' times, log-normal
  double read = 0, write = 0;             ///< of a block, as shares of its prediction's time
  double background = 0;                  ///< share of the blocks, the first ones: these are skipped
  double skip_s = 5e-3;                   ///< for each
  double slow_share = 0, slow_speed = 1;  ///< so many of the workers are so fast
  int stragglers = 0;
  double straggler_speed = 0.5;
  double pulse_every_s = 0.5;
  double pick_up_s = 1e-3;  ///< a worker's communication looks for messages at least so often
  std::uint64_t seed = 1;
};

/// What rank 0 and the network take. Rank 0 is one server: it receives, asks the coordinator, writes the
/// journal and answers, one message after another.
struct SimulatedCosts {
  double receive_s = 0, send_s = 0;        ///< of rank 0's time for a message
  double look_s = 0, look_per_rank_s = 0;  ///< of rank 0's time to look whether there is one
  double append_s = 0;                     ///< of a journal record
  double sync_s = 0;  ///< of the journal's fdatasync; a record that comes meanwhile waits for its end
  double sync_every_s = 0.1;
  double latency_s = 0;      ///< of the network, one way
  bool polite_wait = false;  ///< rank 0 sleeps as PoliteWait does when nothing comes
  bool policy = false;       ///< the time that the coordinator's code takes counts, as the clock says
};

/// How a simulated job went.
struct SimulatedRun {
  bool finished =
      false;             ///< else given up: rank 0 is too slow for its messages, and falls back more and more
  double elapsed_s = 0;  ///< from the first hand-out to the last worker's end
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

/// Replays a job with a virtual clock: the real `Coordinator`, served as serve_workers() serves it, and
/// workers that read, predict and write as the inference worker does. Equal arguments give equal runs unless
/// `costs.policy`.
SimulatedRun simulate(const SimulatedWorkers& workers, const SimulatedCosts& costs,
                      const BlockQueueOptions& queue = {});

/// The idle share if all workers stood in one line before the same blocks and nothing cost any time: what is
/// left is that blocks are of one piece, and that nobody knows beforehand which are the long ones.
double idle_of_one_line(const SimulatedWorkers& workers);

}  // namespace tessera
