#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "workers/device/gpu_kernels.h"

namespace tessera {

/// Records the forward passes of one network and replays them. A pass is recorded when its input shape occurs
/// for the second time. Not thread-safe.
class RecordedPasses {
 public:
  /// With an empty `record` nothing is recorded. `device` is the device's name in messages.
  RecordedPasses(KernelRecorder record, std::string device)
      : record_(std::move(record)), device_(std::move(device)) {}

  /// Returns `pass(input)`, by a replay if the pass is recorded for this shape. `pass` must neither
  /// synchronise nor draw random numbers. After a failed recording nothing more is recorded. Errors: those of
  /// `pass`.
  at::Tensor run(const at::Tensor& input, const std::function<at::Tensor(const at::Tensor&)>& pass);

 private:
  struct Recorded {
    at::Tensor input, output;
    std::unique_ptr<RecordedKernels> kernels;
    std::int64_t last_call = 0;
  };
  at::Tensor replay(const at::Tensor& input);

  KernelRecorder record_;
  std::string device_;
  std::list<Recorded> recorded_;  ///< most recently used first
  std::map<std::vector<std::int64_t>, std::int64_t>
      seen_;  ///< number of calls before the recording, by input shape
  std::int64_t calls_ = 0;
};

}  // namespace tessera
