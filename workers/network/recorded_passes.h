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

/// Forward passes of one network, each recorded for one shape of input when it comes again, and replayed from
/// then on. Not thread-safe.
class RecordedPasses {
 public:
  /// `record` empty: nothing is recorded. `device`, for messages.
  RecordedPasses(KernelRecorder record, std::string device)
      : record_(std::move(record)), device_(std::move(device)) {}

  /// What `pass` computes of `input`, replayed where it has been recorded. `pass` waits for nothing and draws
  /// nothing. A recording that fails is the last one. Errors: those of `pass`.
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
  std::list<Recorded> recorded_;                            ///< the most recently used first
  std::map<std::vector<std::int64_t>, std::int64_t> seen_;  ///< how often, by shape, before it was recorded
  std::int64_t calls_ = 0;
};

}  // namespace tessera
