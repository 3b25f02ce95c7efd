#pragma once

#include <cstdint>

namespace tessera {

/// The samples of a global batch that a worker computes: [begin, end).
struct SampleRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

/// The share of one worker. The shares of all workers cover the batch once, in the workers' order, and differ
/// by at most one sample.
inline SampleRange samples_of(std::int64_t global_batch, int worker, int workers) {
  return {global_batch * worker / workers, global_batch * (worker + 1) / workers};
}

}  // namespace tessera
